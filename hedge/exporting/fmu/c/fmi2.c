/*
 * FMI 2.0 for model exchange and co-simulation (https://fmi-standard.org), of the network in model.h.
 *
 * A shared library takes this file, the network's and -lm. To link several FMUs into one program define
 * FMI2_FUNCTION_PREFIX as something that begins the functions of each. With STANDARD_HEADERS the
 * declarations are those of the standard's fmi2Functions.h, which then must be found.
 */
#include <stddef.h>

#ifdef STANDARD_HEADERS
#include "fmi2Functions.h"
#else
typedef void *fmi2Component;
typedef void *fmi2ComponentEnvironment;
typedef void *fmi2FMUstate;
typedef unsigned int fmi2ValueReference;
typedef double fmi2Real;
typedef int fmi2Integer;
typedef int fmi2Boolean;
typedef char fmi2Char;
typedef const fmi2Char *fmi2String;
typedef char fmi2Byte;
typedef enum { fmi2OK, fmi2Warning, fmi2Discard, fmi2Error, fmi2Fatal, fmi2Pending } fmi2Status;
typedef enum { fmi2ModelExchange, fmi2CoSimulation } fmi2Type;
typedef enum { fmi2DoStepStatus, fmi2PendingStatus, fmi2LastSuccessfulTime, fmi2Terminated } fmi2StatusKind;
enum { fmi2False, fmi2True };

typedef void (*fmi2CallbackLogger)(fmi2ComponentEnvironment, fmi2String instance, fmi2Status,
                                   fmi2String category, fmi2String message, ...);
typedef struct {
    fmi2CallbackLogger logger;
    void *(*allocateMemory)(size_t count, size_t size);
    void (*freeMemory)(void *memory);
    void (*stepFinished)(fmi2ComponentEnvironment, fmi2Status);
    fmi2ComponentEnvironment componentEnvironment;
} fmi2CallbackFunctions;
typedef struct {
    fmi2Boolean newDiscreteStatesNeeded;
    fmi2Boolean terminateSimulation;
    fmi2Boolean nominalsOfContinuousStatesChanged;
    fmi2Boolean valuesOfContinuousStatesChanged;
    fmi2Boolean nextEventTimeDefined;
    fmi2Real nextEventTime;
} fmi2EventInfo;
#endif

#define JOINED(prefix, name) prefix##name
#define PREFIXED(prefix, name) JOINED(prefix, name)
#ifdef FMI2_FUNCTION_PREFIX
#define NAME(name) PREFIXED(FMI2_FUNCTION_PREFIX, name)
#else
#define NAME(name) name
#endif
#ifdef _WIN32
#define SEEN __declspec(dllexport)
#elif defined(__GNUC__)
#define SEEN __attribute__((visibility("default")))
#else
#define SEEN
#endif
#define CALL(name) SEEN fmi2Status NAME(name)

typedef fmi2Status Status;
typedef fmi2CallbackLogger Logger;
#define OK fmi2OK
#define WARNING fmi2Warning
#define ERROR fmi2Error
#include "block.h"

/* The message is a format to the logger, where # begins the number of a variable: both are doubled. */
static void report(const Block *block, Status status, const char *text)
{
    char format[2 * 512];
    size_t n = 0;
    if (block->logger == NULL) return;
    for (; *text != '\0' && n + 3 < sizeof format; ++text) {
        format[n++] = *text;
        if (*text == '%' || *text == '#') format[n++] = *text;
    }
    format[n] = '\0';
    block->logger(block->environment, block->name, status,
                  status == fmi2Warning ? "logStatusWarning" : "logStatusError", format);
}

SEEN const char *NAME(fmi2GetTypesPlatform)(void)
{
    return "default";
}

SEEN const char *NAME(fmi2GetVersion)(void)
{
    return "2.0";
}

/* Warnings and errors are always told, and there is nothing else to tell. */
CALL(fmi2SetDebugLogging)(fmi2Component c, fmi2Boolean on, size_t count, const fmi2String categories[])
{
    (void)on, (void)count, (void)categories;
    return is_allowed(c, ANY, "fmi2SetDebugLogging") ? fmi2OK : fmi2Error;
}

SEEN fmi2Component NAME(fmi2Instantiate)(fmi2String name, fmi2Type type, fmi2String token,
                                         fmi2String resources, const fmi2CallbackFunctions *functions,
                                         fmi2Boolean visible, fmi2Boolean logging)
{
    Block *block;
    (void)resources, (void)visible, (void)logging;
    if (functions == NULL) return NULL;
    block = instantiate(name, token, functions->logger, functions->componentEnvironment);
    if (block != NULL) block->is_cosimulation = type == fmi2CoSimulation;
    return block;
}

SEEN void NAME(fmi2FreeInstance)(fmi2Component c)
{
    release(c);
}

CALL(fmi2SetupExperiment)(fmi2Component c, fmi2Boolean has_tolerance, fmi2Real tolerance, fmi2Real start_time,
                          fmi2Boolean has_stop, fmi2Real stop_time)
{
    Block *const block = c;
    (void)has_tolerance, (void)tolerance, (void)has_stop, (void)stop_time;
    if (!is_allowed(block, INSTANTIATED, "fmi2SetupExperiment")) return fmi2Error;
    block->state.time = start_time;
    return fmi2OK;
}

CALL(fmi2EnterInitializationMode)(fmi2Component c)
{
    return enter(c, INSTANTIATED, INITIALIZATION, "fmi2EnterInitializationMode");
}

CALL(fmi2ExitInitializationMode)(fmi2Component c)
{
    return leave_initialization(c, "fmi2ExitInitializationMode");
}

CALL(fmi2Terminate)(fmi2Component c)
{
    return enter(c, RUNNING, TERMINATED, "fmi2Terminate");
}

CALL(fmi2Reset)(fmi2Component c)
{
    if (!is_allowed(c, ANY, "fmi2Reset")) return fmi2Error;
    reset(c);
    return fmi2OK;
}

CALL(fmi2GetReal)(fmi2Component c, const fmi2ValueReference references[], size_t count, fmi2Real values[])
{
    return get_reals(c, references, count, values, "fmi2GetReal");
}

CALL(fmi2SetReal)(fmi2Component c, const fmi2ValueReference references[], size_t count,
                  const fmi2Real values[])
{
    return set_reals(c, references, count, values, "fmi2SetReal");
}

#define ABSENT(function, type, what) \
    CALL(function)(fmi2Component c, const fmi2ValueReference references[], size_t count, type values[]) \
    { \
        (void)references, (void)values; \
        return is_allowed(c, ANY, #function) ? none(c, count, #function, what) : fmi2Error; \
    }
ABSENT(fmi2GetInteger, fmi2Integer, "integers")
ABSENT(fmi2GetBoolean, fmi2Boolean, "booleans")
ABSENT(fmi2GetString, fmi2String, "strings")
ABSENT(fmi2SetInteger, const fmi2Integer, "integers")
ABSENT(fmi2SetBoolean, const fmi2Boolean, "booleans")
ABSENT(fmi2SetString, const fmi2String, "strings")

CALL(fmi2GetFMUstate)(fmi2Component c, fmi2FMUstate *state)
{
    return save(c, state, "fmi2GetFMUstate");
}

CALL(fmi2SetFMUstate)(fmi2Component c, fmi2FMUstate state)
{
    return restore(c, state, "fmi2SetFMUstate");
}

CALL(fmi2FreeFMUstate)(fmi2Component c, fmi2FMUstate *state)
{
    return release_state(c, state, "fmi2FreeFMUstate");
}

CALL(fmi2SerializedFMUstateSize)(fmi2Component c, fmi2FMUstate state, size_t *size)
{
    return serialized_size(c, state, size, "fmi2SerializedFMUstateSize");
}

CALL(fmi2SerializeFMUstate)(fmi2Component c, fmi2FMUstate state, fmi2Byte bytes[], size_t size)
{
    return serialize(c, state, bytes, size, "fmi2SerializeFMUstate");
}

CALL(fmi2DeSerializeFMUstate)(fmi2Component c, const fmi2Byte bytes[], size_t size, fmi2FMUstate *state)
{
    return deserialize(c, bytes, size, state, "fmi2DeSerializeFMUstate");
}

CALL(fmi2GetDirectionalDerivative)(fmi2Component c, const fmi2ValueReference unknowns[], size_t outputs,
                                   const fmi2ValueReference knowns[], size_t inputs, const fmi2Real seed[],
                                   fmi2Real changes[])
{
    return directional(c, unknowns, outputs, knowns, inputs, seed, changes, "fmi2GetDirectionalDerivative");
}

/* Model exchange. */

CALL(fmi2EnterEventMode)(fmi2Component c)
{
    return enter(c, EVENT | CONTINUOUS, EVENT, "fmi2EnterEventMode");
}

CALL(fmi2NewDiscreteStates)(fmi2Component c, fmi2EventInfo *info)
{
    if (!is_allowed(c, EVENT, "fmi2NewDiscreteStates")) return fmi2Error;
    if (!is_there(c, info, 1, "fmi2NewDiscreteStates")) return fmi2Error;
    memset(info, 0, sizeof *info);
    return fmi2OK;
}

CALL(fmi2EnterContinuousTimeMode)(fmi2Component c)
{
    return enter(c, EVENT, CONTINUOUS, "fmi2EnterContinuousTimeMode");
}

CALL(fmi2CompletedIntegratorStep)(fmi2Component c, fmi2Boolean no_set, fmi2Boolean *enter_event_mode,
                                  fmi2Boolean *terminate)
{
    (void)no_set;
    if (!is_allowed(c, CONTINUOUS, "fmi2CompletedIntegratorStep")) return fmi2Error;
    if (!is_there(c, enter_event_mode, 1, "fmi2CompletedIntegratorStep")) return fmi2Error;
    if (!is_there(c, terminate, 1, "fmi2CompletedIntegratorStep")) return fmi2Error;
    *enter_event_mode = *terminate = fmi2False;
    return fmi2OK;
}

CALL(fmi2SetTime)(fmi2Component c, fmi2Real time)
{
    return set_time(c, time, "fmi2SetTime");
}

#define STATELESS(function, type, what) \
    CALL(function)(fmi2Component c, type values[], size_t count) \
    { \
        (void)values; \
        return is_allowed(c, ANY, #function) ? none(c, count, #function, what) : fmi2Error; \
    }
STATELESS(fmi2SetContinuousStates, const fmi2Real, "continuous states")
STATELESS(fmi2GetDerivatives, fmi2Real, "continuous states")
STATELESS(fmi2GetContinuousStates, fmi2Real, "continuous states")
STATELESS(fmi2GetNominalsOfContinuousStates, fmi2Real, "continuous states")
STATELESS(fmi2GetEventIndicators, fmi2Real, "event indicators")

/* Co-simulation. */

CALL(fmi2SetRealInputDerivatives)(fmi2Component c, const fmi2ValueReference references[], size_t count,
                                  const fmi2Integer orders[], const fmi2Real values[])
{
    (void)references, (void)orders, (void)values;
    if (!is_allowed(c, ANY, "fmi2SetRealInputDerivatives")) return fmi2Error;
    return none(c, count, "fmi2SetRealInputDerivatives", "interpolation of inputs");
}

CALL(fmi2GetRealOutputDerivatives)(fmi2Component c, const fmi2ValueReference references[], size_t count,
                                   const fmi2Integer orders[], fmi2Real values[])
{
    (void)references, (void)orders, (void)values;
    if (!is_allowed(c, ANY, "fmi2GetRealOutputDerivatives")) return fmi2Error;
    return none(c, count, "fmi2GetRealOutputDerivatives", "derivatives by time");
}

CALL(fmi2DoStep)(fmi2Component c, fmi2Real from, fmi2Real size, fmi2Boolean no_set)
{
    (void)no_set;
    return step(c, from, size, "fmi2DoStep");
}

CALL(fmi2CancelStep)(fmi2Component c)
{
    if (!is_allowed(c, STEP, "fmi2CancelStep")) return fmi2Error;
    return failed(c, "fmi2CancelStep: no step is under way, each ends within its call");
}

/* Steps are neither pending nor discarded, so that most of this has no answer. */
#define UNANSWERED(function, type) \
    CALL(function)(fmi2Component c, const fmi2StatusKind kind, type *value) \
    { \
        (void)kind, (void)value; \
        return c == NULL ? fmi2Error : fmi2Discard; \
    }
UNANSWERED(fmi2GetStatus, fmi2Status)
UNANSWERED(fmi2GetIntegerStatus, fmi2Integer)
UNANSWERED(fmi2GetStringStatus, fmi2String)

CALL(fmi2GetRealStatus)(fmi2Component c, const fmi2StatusKind kind, fmi2Real *value)
{
    if (!is_allowed(c, ANY, "fmi2GetRealStatus")) return fmi2Error;
    if (!is_there(c, value, 1, "fmi2GetRealStatus")) return fmi2Error;
    if (kind != fmi2LastSuccessfulTime) return fmi2Discard;
    *value = ((const Block *)c)->state.time;
    return fmi2OK;
}

CALL(fmi2GetBooleanStatus)(fmi2Component c, const fmi2StatusKind kind, fmi2Boolean *value)
{
    if (!is_allowed(c, ANY, "fmi2GetBooleanStatus")) return fmi2Error;
    if (!is_there(c, value, 1, "fmi2GetBooleanStatus")) return fmi2Error;
    if (kind != fmi2Terminated) return fmi2Discard;
    *value = fmi2False;
    return fmi2OK;
}
