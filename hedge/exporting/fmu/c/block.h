/*
 * What FMI 2.0 and 3.0 have in common: the network as a block without states and events.
 *
 * fmi2.c and fmi3.c include this file, after they have named the types Status and Logger and the values OK,
 * WARNING and ERROR, and define report(). Nothing here is kept outside of an instance.
 */
#ifndef BLOCK_HEADER
#define BLOCK_HEADER

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

/* What seventy functions call is code once, whatever the compiler is told to do for speed. */
#ifdef __GNUC__
#define APART __attribute__((noinline))
#else
#define APART
#endif

/* In which mode of the standard's state machines an instance is; sets of them are sums. */
enum {
    INSTANTIATED = 1,
    INITIALIZATION = 2,
    EVENT = 4,
    CONTINUOUS = 8,
    STEP = 16,
    TERMINATED = 32,
    RUNNING = EVENT | CONTINUOUS | STEP,
    ANY = INSTANTIATED | INITIALIZATION | RUNNING | TERMINATED
};

/* All that an instance remembers, and so the FMU state of the standard. */
typedef struct {
    unsigned long export; /* of which network it is */
    long mode;
    double time;
    double x[INPUTS];
} State;

typedef struct {
    State state;
    int is_cosimulation;
    int has_outputs, has_slopes, is_located; /* whether these are of the inputs of now: u, slopes, */
    int is_outside;                          /* and this, of the domain, where outputs are NaN */
    real u[OUTPUTS];
    real slopes[OUTPUTS * INPUTS];
    char *name;
    void *environment;
    Logger logger;
} Block;

/* Hand a message to the simulator. */
static void report(const Block *block, Status status, const char *text);

static APART Status failed(const Block *block, const char *format, ...)
{
    char text[512];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    report(block, ERROR, text);
    return ERROR;
}

static const char *mode_name(long mode)
{
    switch (mode) {
    case INSTANTIATED: return "before initialization";
    case INITIALIZATION: return "in initialization mode";
    case EVENT: return "in event mode";
    case CONTINUOUS: return "in continuous-time mode";
    case STEP: return "between steps";
    default: return "after termination";
    }
}

/* Whether the function may be called in the mode of now; says so where not. */
static APART int is_allowed(const Block *block, int modes, const char *function)
{
    if (block == NULL) return 0;
    if (block->state.mode & modes) return 1;
    failed(block, "%s: can't be called %s", function, mode_name(block->state.mode));
    return 0;
}

/* Whether pointers that are needed are there; says so where not. */
static APART int is_there(const Block *block, const void *pointer, size_t count, const char *function)
{
    if (pointer != NULL || count == 0) return 1;
    failed(block, "%s: a pointer is NULL", function);
    return 0;
}

static APART Status none(const Block *block, size_t count, const char *function, const char *what)
{
    return count == 0 ? OK : failed(block, "%s: this FMU has no %s", function, what);
}

static void forget(Block *block)
{
    block->has_outputs = block->has_slopes = block->is_located = 0;
}

static void reset(Block *block)
{
    memset(&block->state, 0, sizeof block->state);
    block->state.export = EXPORT;
    block->state.mode = INSTANTIATED;
    memcpy(block->state.x, start, sizeof start);
    forget(block);
}

static void release(Block *block)
{
    if (block == NULL) return;
    free(block->name);
    free(block);
}

/* A new instance, or NULL, which is reported. */
static APART Block *instantiate(const char *name, const char *token, Logger logger, void *environment)
{
    const char *const called = name != NULL ? name : "";
    Block stub, *block;
    memset(&stub, 0, sizeof stub);
    stub.name = (char *)called; /* it is only read */
    stub.logger = logger;
    stub.environment = environment;
    if (called[0] == '\0') return failed(&stub, "the instance has no name"), NULL;
    if (token == NULL || strcmp(token, TOKEN) != 0)
        return failed(&stub, "the model description is of another FMU: its token is %s, not %s",
                      token != NULL ? token : "missing", TOKEN), NULL;
    block = calloc(1, sizeof *block);
    if (block != NULL) block->name = malloc(strlen(called) + 1);
    if (block == NULL || block->name == NULL) {
        release(block);
        return failed(&stub, "there is no memory for an instance"), NULL;
    }
    strcpy(block->name, called);
    block->logger = logger;
    block->environment = environment;
    reset(block);
    return block;
}

static void row(const Block *block, real *x)
{
    for (size_t i = 0; i < INPUTS; ++i) x[i] = (real)block->state.x[i];
}

#if GUARDED
static void tell_outside(const Block *block, const real *x)
{
    const int digits = sizeof(real) == sizeof(float) ? 9 : 17; /* by which numbers are told apart */
    char text[512];
    for (size_t i = 0; i < INPUTS; ++i) {
        if (x[i] >= (real)lower[i] && x[i] <= (real)upper[i]) continue;
        snprintf(text, sizeof text, "%s: %.*g is outside of its domain, %.15g to %.15g; outputs are NaN",
                 variables[i], digits, (double)x[i], lower[i], upper[i]);
        report(block, WARNING, text);
        return;
    }
}

/* Whether the inputs are in the domain; what is not is told once, as long as it stays. */
static void locate(Block *block, const real *x)
{
    if (block->is_located) return;
    block->is_outside = !INSIDE(x);
    block->is_located = 1;
    if (block->is_outside) tell_outside(block, x);
}
#else
static void locate(Block *block, const real *x)
{
    (void)block, (void)x;
}
#endif

static APART void evaluate(Block *block)
{
    real x[INPUTS];
    if (block->has_outputs) return;
    row(block, x);
    locate(block, x);
    EVALUATE(x, block->u);
    block->has_outputs = 1;
}

static APART void differentiate(Block *block)
{
    real x[INPUTS], u[OUTPUTS];
    if (block->has_slopes) return;
    row(block, x);
    locate(block, x);
    JACOBIAN(x, u, block->slopes);
    block->has_slopes = 1;
}

static Status status_of(const Block *block)
{
    return block->is_outside ? WARNING : OK;
}

/* Inputs have the numbers from 0, outputs follow. */
static int is_output(unsigned reference)
{
    return reference >= INPUTS && reference < INPUTS + OUTPUTS;
}

static Status get_reals(Block *block, const unsigned *references, size_t count, double *values,
                        const char *function)
{
    Status status = OK;
    if (!is_allowed(block, ANY, function)) return ERROR;
    if (!is_there(block, references, count, function)) return ERROR;
    if (!is_there(block, values, count, function)) return ERROR;
    for (size_t i = 0; i < count; ++i) {
        const unsigned reference = references[i];
        if (reference < INPUTS) {
            values[i] = block->state.x[reference];
        } else if (is_output(reference)) {
            evaluate(block);
            values[i] = (double)block->u[reference - INPUTS];
            status = status_of(block);
#ifdef TIME
        } else if (reference == TIME) {
            values[i] = block->state.time;
#endif
        } else {
            return failed(block, "%s: there is no variable with value reference %u", function, reference);
        }
    }
    return status;
}

static Status set_reals(Block *block, const unsigned *references, size_t count, const double *values,
                        const char *function)
{
    if (!is_allowed(block, ANY & ~TERMINATED, function)) return ERROR;
    if (!is_there(block, references, count, function)) return ERROR;
    if (!is_there(block, values, count, function)) return ERROR;
    for (size_t i = 0; i < count; ++i) {
        const unsigned reference = references[i];
        if (is_output(reference))
            return failed(block, "%s: %s is an output", function, variables[reference]);
        if (reference >= INPUTS)
            return failed(block, "%s: there is no input with value reference %u", function, reference);
    }
    for (size_t i = 0; i < count; ++i) block->state.x[references[i]] = values[i];
    if (count > 0) forget(block);
    return OK;
}

/* Whether derivatives may be asked for: outputs by inputs, each number in its array. */
static int has_derivatives(const Block *block, const unsigned *unknowns, size_t outputs,
                           const unsigned *knowns, size_t inputs, const char *function)
{
    if (!is_allowed(block, ANY & ~INSTANTIATED, function)) return 0;
    if (!is_there(block, unknowns, outputs, function)) return 0;
    if (!is_there(block, knowns, inputs, function)) return 0;
    for (size_t i = 0; i < outputs; ++i)
        if (!is_output(unknowns[i])) {
            failed(block, "%s: there is no output with value reference %u", function, unknowns[i]);
            return 0;
        }
    for (size_t j = 0; j < inputs; ++j)
        if (knowns[j] >= INPUTS) {
            failed(block, "%s: there is no input with value reference %u", function, knowns[j]);
            return 0;
        }
    return 1;
}

static double slope(const Block *block, unsigned unknown, unsigned known)
{
    return (double)block->slopes[(unknown - INPUTS) * INPUTS + known];
}

/* changes[i] is the sum over j of d unknown i / d known j times seed[j]. */
static Status directional(Block *block, const unsigned *unknowns, size_t outputs, const unsigned *knowns,
                          size_t inputs, const double *seed, double *changes, const char *function)
{
    if (!has_derivatives(block, unknowns, outputs, knowns, inputs, function)) return ERROR;
    if (!is_there(block, seed, inputs, function)) return ERROR;
    if (!is_there(block, changes, outputs, function)) return ERROR;
    differentiate(block);
    for (size_t i = 0; i < outputs; ++i) {
        changes[i] = 0.0;
        for (size_t j = 0; j < inputs; ++j) changes[i] += slope(block, unknowns[i], knowns[j]) * seed[j];
    }
    return status_of(block);
}

/* Whether an instance of this kind can have been in that state: bytes may come from a file. */
static int is_own(const Block *block, const State *state, const char *function)
{
    const long mode = state->mode;
    const long modes = INSTANTIATED | INITIALIZATION | TERMINATED
                       | (block->is_cosimulation ? STEP : EVENT | CONTINUOUS);
    if (state->export == EXPORT && (mode & modes) == mode && mode > 0 && (mode & (mode - 1)) == 0) return 1;
    failed(block, "%s: that is no state of such an instance of this FMU", function);
    return 0;
}

static Status save(const Block *block, void **state, const char *function)
{
    if (!is_allowed(block, ANY, function) || !is_there(block, state, 1, function)) return ERROR;
    if (*state == NULL) *state = malloc(sizeof(State));
    if (*state == NULL) return failed(block, "%s: there is no memory for a state", function);
    memcpy(*state, &block->state, sizeof(State));
    return OK;
}

static Status restore(Block *block, const void *state, const char *function)
{
    if (!is_allowed(block, ANY, function) || !is_there(block, state, 1, function)) return ERROR;
    if (!is_own(block, state, function)) return ERROR;
    memcpy(&block->state, state, sizeof(State));
    forget(block);
    return OK;
}

static Status release_state(const Block *block, void **state, const char *function)
{
    if (!is_allowed(block, ANY, function)) return ERROR;
    if (state == NULL) return OK;
    free(*state);
    *state = NULL;
    return OK;
}

static Status serialized_size(const Block *block, const void *state, size_t *size, const char *function)
{
    if (!is_allowed(block, ANY, function)) return ERROR;
    if (!is_there(block, state, 1, function) || !is_there(block, size, 1, function)) return ERROR;
    *size = sizeof(State);
    return OK;
}

static Status serialize(const Block *block, const void *state, void *bytes, size_t size,
                        const char *function)
{
    if (!is_allowed(block, ANY, function)) return ERROR;
    if (!is_there(block, state, 1, function) || !is_there(block, bytes, 1, function)) return ERROR;
    if (size < sizeof(State))
        return failed(block, "%s: a state takes %lu bytes", function, (unsigned long)sizeof(State));
    memcpy(bytes, state, sizeof(State));
    return OK;
}

static Status deserialize(const Block *block, const void *bytes, size_t size, void **state,
                          const char *function)
{
    State found;
    if (!is_allowed(block, ANY, function)) return ERROR;
    if (!is_there(block, bytes, 1, function) || !is_there(block, state, 1, function)) return ERROR;
    if (size < sizeof found) return failed(block, "%s: the bytes of the state are cut short", function);
    memcpy(&found, bytes, sizeof found);
    if (!is_own(block, &found, function)) return ERROR;
    if (*state == NULL) *state = malloc(sizeof found);
    if (*state == NULL) return failed(block, "%s: there is no memory for a state", function);
    memcpy(*state, &found, sizeof found);
    return OK;
}

static APART Status enter(Block *block, int from, int to, const char *function)
{
    if (!is_allowed(block, from, function)) return ERROR;
    block->state.mode = to;
    return OK;
}

static Status leave_initialization(Block *block, const char *function)
{
    if (block == NULL) return ERROR;
    return enter(block, INITIALIZATION, block->is_cosimulation ? STEP : EVENT, function);
}

static Status set_time(Block *block, double time, const char *function)
{
    if (!is_allowed(block, EVENT | CONTINUOUS, function)) return ERROR;
    block->state.time = time;
    return OK;
}

/* There is nothing to integrate: inputs stay as they are over a step. */
static Status step(Block *block, double from, double size, const char *function)
{
    if (!is_allowed(block, STEP, function)) return ERROR;
    if (!(size >= 0.0)) return failed(block, "%s: a step of %g goes back", function, size);
    block->state.time = from + size;
    return OK;
}

#endif
