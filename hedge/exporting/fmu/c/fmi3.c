/*
 * FMI 3.0 for model exchange and co-simulation (https://fmi-standard.org), of the network in model.h.
 *
 * A shared library takes this file, the network's and -lm. To link several FMUs into one program define
 * FMI3_FUNCTION_PREFIX as something that begins the functions of each. With STANDARD_HEADERS the
 * declarations are those of the standard's fmi3Functions.h, which then must be found.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef STANDARD_HEADERS
#include "fmi3Functions.h"
#else
typedef void *fmi3Instance;
typedef void *fmi3InstanceEnvironment;
typedef void *fmi3FMUState;
typedef uint32_t fmi3ValueReference;
typedef float fmi3Float32;
typedef double fmi3Float64;
typedef int8_t fmi3Int8;
typedef uint8_t fmi3UInt8;
typedef int16_t fmi3Int16;
typedef uint16_t fmi3UInt16;
typedef int32_t fmi3Int32;
typedef uint32_t fmi3UInt32;
typedef int64_t fmi3Int64;
typedef uint64_t fmi3UInt64;
typedef bool fmi3Boolean;
typedef char fmi3Char;
typedef const fmi3Char *fmi3String;
typedef uint8_t fmi3Byte;
typedef const fmi3Byte *fmi3Binary;
typedef bool fmi3Clock;
typedef enum { fmi3OK, fmi3Warning, fmi3Discard, fmi3Error, fmi3Fatal } fmi3Status;
typedef enum {
    fmi3Independent, fmi3Constant, fmi3Fixed, fmi3Tunable, fmi3Discrete, fmi3Dependent
} fmi3DependencyKind;
typedef enum { fmi3IntervalNotYetKnown, fmi3IntervalUnchanged, fmi3IntervalChanged } fmi3IntervalQualifier;

typedef void (*fmi3LogMessageCallback)(fmi3InstanceEnvironment, fmi3Status, fmi3String category,
                                       fmi3String message);
typedef void (*fmi3ClockUpdateCallback)(fmi3InstanceEnvironment);
typedef void (*fmi3IntermediateUpdateCallback)(fmi3InstanceEnvironment, fmi3Float64 time, fmi3Boolean set,
                                               fmi3Boolean get, fmi3Boolean finished, fmi3Boolean can_return,
                                               fmi3Boolean *returns, fmi3Float64 *return_time);
typedef void (*fmi3LockPreemptionCallback)(void);
typedef void (*fmi3UnlockPreemptionCallback)(void);
#endif

#define JOINED(prefix, name) prefix##name
#define PREFIXED(prefix, name) JOINED(prefix, name)
#if defined(FMI3_OVERRIDE_FUNCTION_PREFIX)
#define NAME(name) PREFIXED(FMI3_OVERRIDE_FUNCTION_PREFIX, name)
#elif defined(FMI3_FUNCTION_PREFIX)
#define NAME(name) PREFIXED(FMI3_FUNCTION_PREFIX, name)
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
#define CALL(name) SEEN fmi3Status NAME(name)

typedef fmi3Status Status;
typedef fmi3LogMessageCallback Logger;
#define OK fmi3OK
#define WARNING fmi3Warning
#define ERROR fmi3Error
#define TIME (INPUTS + OUTPUTS)
#include "block.h"

static void report(const Block *block, Status status, const char *text)
{
    if (block->logger == NULL) return;
    block->logger(block->environment, status,
                  status == fmi3Warning ? "logStatusWarning" : "logStatusError", text);
}

SEEN const char *NAME(fmi3GetVersion)(void)
{
    return "3.0";
}

/* Warnings and errors are always told, and there is nothing else to tell. */
CALL(fmi3SetDebugLogging)(fmi3Instance c, fmi3Boolean on, size_t count, const fmi3String categories[])
{
    (void)on, (void)count, (void)categories;
    return is_allowed(c, ANY, "fmi3SetDebugLogging") ? fmi3OK : fmi3Error;
}

SEEN fmi3Instance NAME(fmi3InstantiateModelExchange)(fmi3String name, fmi3String token, fmi3String resources,
                                                     fmi3Boolean visible, fmi3Boolean logging,
                                                     fmi3InstanceEnvironment environment,
                                                     fmi3LogMessageCallback logger)
{
    (void)resources, (void)visible, (void)logging;
    return instantiate(name, token, logger, environment);
}

SEEN fmi3Instance NAME(fmi3InstantiateCoSimulation)(
    fmi3String name, fmi3String token, fmi3String resources, fmi3Boolean visible, fmi3Boolean logging,
    fmi3Boolean event_mode, fmi3Boolean early_return, const fmi3ValueReference intermediate[], size_t count,
    fmi3InstanceEnvironment environment, fmi3LogMessageCallback logger,
    fmi3IntermediateUpdateCallback intermediate_update)
{
    Block *block;
    (void)resources, (void)visible, (void)logging, (void)early_return;
    (void)intermediate, (void)count, (void)intermediate_update;
    block = instantiate(name, token, logger, environment);
    if (block == NULL) return NULL;
    block->is_cosimulation = 1;
    if (!event_mode) return block;
    failed(block, "fmi3InstantiateCoSimulation: this FMU has no event mode");
    release(block);
    return NULL;
}

SEEN fmi3Instance NAME(fmi3InstantiateScheduledExecution)(
    fmi3String name, fmi3String token, fmi3String resources, fmi3Boolean visible, fmi3Boolean logging,
    fmi3InstanceEnvironment environment, fmi3LogMessageCallback logger, fmi3ClockUpdateCallback clock_update,
    fmi3LockPreemptionCallback lock, fmi3UnlockPreemptionCallback unlock)
{
    Block *block;
    (void)resources, (void)visible, (void)logging, (void)clock_update, (void)lock, (void)unlock;
    block = instantiate(name, token, logger, environment);
    if (block != NULL) failed(block, "fmi3InstantiateScheduledExecution: this FMU has no clocks");
    release(block);
    return NULL;
}

SEEN void NAME(fmi3FreeInstance)(fmi3Instance c)
{
    release(c);
}

CALL(fmi3EnterInitializationMode)(fmi3Instance c, fmi3Boolean has_tolerance, fmi3Float64 tolerance,
                                  fmi3Float64 start_time, fmi3Boolean has_stop, fmi3Float64 stop_time)
{
    Block *const block = c;
    (void)has_tolerance, (void)tolerance, (void)has_stop, (void)stop_time;
    if (enter(block, INSTANTIATED, INITIALIZATION, "fmi3EnterInitializationMode") != fmi3OK) return fmi3Error;
    block->state.time = start_time;
    return fmi3OK;
}

CALL(fmi3ExitInitializationMode)(fmi3Instance c)
{
    return leave_initialization(c, "fmi3ExitInitializationMode");
}

CALL(fmi3EnterEventMode)(fmi3Instance c)
{
    return enter(c, CONTINUOUS, EVENT, "fmi3EnterEventMode");
}

CALL(fmi3Terminate)(fmi3Instance c)
{
    return enter(c, RUNNING, TERMINATED, "fmi3Terminate");
}

CALL(fmi3Reset)(fmi3Instance c)
{
    if (!is_allowed(c, ANY, "fmi3Reset")) return fmi3Error;
    reset(c);
    return fmi3OK;
}

/* Variables are scalars: a value each. */
static int is_one_each(const Block *block, size_t references, size_t values, const char *function)
{
    if (references == values) return 1;
    failed(block, "%s: %lu values for %lu scalars", function, (unsigned long)values,
           (unsigned long)references);
    return 0;
}

CALL(fmi3GetFloat64)(fmi3Instance c, const fmi3ValueReference references[], size_t count, fmi3Float64 values[],
                     size_t n)
{
    if (c == NULL || !is_one_each(c, count, n, "fmi3GetFloat64")) return fmi3Error;
    return get_reals(c, references, count, values, "fmi3GetFloat64");
}

CALL(fmi3SetFloat64)(fmi3Instance c, const fmi3ValueReference references[], size_t count,
                     const fmi3Float64 values[], size_t n)
{
    if (c == NULL || !is_one_each(c, count, n, "fmi3SetFloat64")) return fmi3Error;
    return set_reals(c, references, count, values, "fmi3SetFloat64");
}

#define ABSENT(function, type, what) \
    CALL(function)(fmi3Instance c, const fmi3ValueReference references[], size_t count, type values[], size_t n) \
    { \
        (void)references, (void)values, (void)n; \
        return is_allowed(c, ANY, #function) ? none(c, count, #function, what) : fmi3Error; \
    }
ABSENT(fmi3GetFloat32, fmi3Float32, "variables of that type")
ABSENT(fmi3GetInt8, fmi3Int8, "variables of that type")
ABSENT(fmi3GetUInt8, fmi3UInt8, "variables of that type")
ABSENT(fmi3GetInt16, fmi3Int16, "variables of that type")
ABSENT(fmi3GetUInt16, fmi3UInt16, "variables of that type")
ABSENT(fmi3GetInt32, fmi3Int32, "variables of that type")
ABSENT(fmi3GetUInt32, fmi3UInt32, "variables of that type")
ABSENT(fmi3GetInt64, fmi3Int64, "variables of that type")
ABSENT(fmi3GetUInt64, fmi3UInt64, "variables of that type")
ABSENT(fmi3GetBoolean, fmi3Boolean, "variables of that type")
ABSENT(fmi3GetString, fmi3String, "variables of that type")
ABSENT(fmi3SetFloat32, const fmi3Float32, "variables of that type")
ABSENT(fmi3SetInt8, const fmi3Int8, "variables of that type")
ABSENT(fmi3SetUInt8, const fmi3UInt8, "variables of that type")
ABSENT(fmi3SetInt16, const fmi3Int16, "variables of that type")
ABSENT(fmi3SetUInt16, const fmi3UInt16, "variables of that type")
ABSENT(fmi3SetInt32, const fmi3Int32, "variables of that type")
ABSENT(fmi3SetUInt32, const fmi3UInt32, "variables of that type")
ABSENT(fmi3SetInt64, const fmi3Int64, "variables of that type")
ABSENT(fmi3SetUInt64, const fmi3UInt64, "variables of that type")
ABSENT(fmi3SetBoolean, const fmi3Boolean, "variables of that type")
ABSENT(fmi3SetString, const fmi3String, "variables of that type")

CALL(fmi3GetBinary)(fmi3Instance c, const fmi3ValueReference references[], size_t count, size_t sizes[],
                    fmi3Binary values[], size_t n)
{
    (void)references, (void)sizes, (void)values, (void)n;
    if (!is_allowed(c, ANY, "fmi3GetBinary")) return fmi3Error;
    return none(c, count, "fmi3GetBinary", "variables of that type");
}

CALL(fmi3SetBinary)(fmi3Instance c, const fmi3ValueReference references[], size_t count, const size_t sizes[],
                    const fmi3Binary values[], size_t n)
{
    (void)references, (void)sizes, (void)values, (void)n;
    if (!is_allowed(c, ANY, "fmi3SetBinary")) return fmi3Error;
    return none(c, count, "fmi3SetBinary", "variables of that type");
}

CALL(fmi3GetClock)(fmi3Instance c, const fmi3ValueReference references[], size_t count, fmi3Clock values[])
{
    (void)references, (void)values;
    if (!is_allowed(c, ANY, "fmi3GetClock")) return fmi3Error;
    return none(c, count, "fmi3GetClock", "clocks");
}

CALL(fmi3SetClock)(fmi3Instance c, const fmi3ValueReference references[], size_t count,
                   const fmi3Clock values[])
{
    (void)references, (void)values;
    if (!is_allowed(c, ANY, "fmi3SetClock")) return fmi3Error;
    return none(c, count, "fmi3SetClock", "clocks");
}

/* modelDescription.xml lists the dependencies; without dimensions that can change they are these. */
CALL(fmi3GetNumberOfVariableDependencies)(fmi3Instance c, fmi3ValueReference reference, size_t *count)
{
    (void)reference, (void)count;
    if (!is_allowed(c, ANY, "fmi3GetNumberOfVariableDependencies")) return fmi3Error;
    return failed(c, "fmi3GetNumberOfVariableDependencies: see modelDescription.xml");
}

CALL(fmi3GetVariableDependencies)(fmi3Instance c, fmi3ValueReference dependent, size_t dependent_elements[],
                                  fmi3ValueReference independents[], size_t independent_elements[],
                                  fmi3DependencyKind kinds[], size_t count)
{
    (void)dependent, (void)dependent_elements, (void)independents, (void)independent_elements;
    (void)kinds, (void)count;
    if (!is_allowed(c, ANY, "fmi3GetVariableDependencies")) return fmi3Error;
    return failed(c, "fmi3GetVariableDependencies: see modelDescription.xml");
}

CALL(fmi3GetFMUState)(fmi3Instance c, fmi3FMUState *state)
{
    return save(c, state, "fmi3GetFMUState");
}

CALL(fmi3SetFMUState)(fmi3Instance c, fmi3FMUState state)
{
    return restore(c, state, "fmi3SetFMUState");
}

CALL(fmi3FreeFMUState)(fmi3Instance c, fmi3FMUState *state)
{
    return release_state(c, state, "fmi3FreeFMUState");
}

CALL(fmi3SerializedFMUStateSize)(fmi3Instance c, fmi3FMUState state, size_t *size)
{
    return serialized_size(c, state, size, "fmi3SerializedFMUStateSize");
}

CALL(fmi3SerializeFMUState)(fmi3Instance c, fmi3FMUState state, fmi3Byte bytes[], size_t size)
{
    return serialize(c, state, bytes, size, "fmi3SerializeFMUState");
}

CALL(fmi3DeserializeFMUState)(fmi3Instance c, const fmi3Byte bytes[], size_t size, fmi3FMUState *state)
{
    return deserialize(c, bytes, size, state, "fmi3DeserializeFMUState");
}

CALL(fmi3GetDirectionalDerivative)(fmi3Instance c, const fmi3ValueReference unknowns[], size_t outputs,
                                   const fmi3ValueReference knowns[], size_t inputs, const fmi3Float64 seed[],
                                   size_t seeds, fmi3Float64 changes[], size_t n)
{
    static const char function[] = "fmi3GetDirectionalDerivative";
    if (c == NULL || !is_one_each(c, inputs, seeds, function)) return fmi3Error;
    if (!is_one_each(c, outputs, n, function)) return fmi3Error;
    return directional(c, unknowns, outputs, knowns, inputs, seed, changes, function);
}

/* changes[j] is the sum over i of seed[i] times d unknown i / d known j. */
CALL(fmi3GetAdjointDerivative)(fmi3Instance c, const fmi3ValueReference unknowns[], size_t outputs,
                               const fmi3ValueReference knowns[], size_t inputs, const fmi3Float64 seed[],
                               size_t seeds, fmi3Float64 changes[], size_t n)
{
    static const char function[] = "fmi3GetAdjointDerivative";
    if (!has_derivatives(c, unknowns, outputs, knowns, inputs, function)) return fmi3Error;
    if (!is_one_each(c, outputs, seeds, function) || !is_one_each(c, inputs, n, function)) return fmi3Error;
    if (!is_there(c, seed, seeds, function) || !is_there(c, changes, n, function)) return fmi3Error;
    differentiate(c);
    for (size_t j = 0; j < inputs; ++j) {
        changes[j] = 0.0;
        for (size_t i = 0; i < outputs; ++i) changes[j] += seed[i] * slope(c, unknowns[i], knowns[j]);
    }
    return status_of(c);
}

CALL(fmi3EnterConfigurationMode)(fmi3Instance c)
{
    if (!is_allowed(c, ANY, "fmi3EnterConfigurationMode")) return fmi3Error;
    return failed(c, "fmi3EnterConfigurationMode: this FMU has no structural parameters");
}

CALL(fmi3ExitConfigurationMode)(fmi3Instance c)
{
    if (!is_allowed(c, ANY, "fmi3ExitConfigurationMode")) return fmi3Error;
    return failed(c, "fmi3ExitConfigurationMode: this FMU has no structural parameters");
}

CALL(fmi3GetIntervalDecimal)(fmi3Instance c, const fmi3ValueReference references[], size_t count,
                             fmi3Float64 intervals[], fmi3IntervalQualifier qualifiers[])
{
    (void)references, (void)intervals, (void)qualifiers;
    if (!is_allowed(c, ANY, "fmi3GetIntervalDecimal")) return fmi3Error;
    return none(c, count, "fmi3GetIntervalDecimal", "clocks");
}

CALL(fmi3GetIntervalFraction)(fmi3Instance c, const fmi3ValueReference references[], size_t count,
                              fmi3UInt64 counters[], fmi3UInt64 resolutions[],
                              fmi3IntervalQualifier qualifiers[])
{
    (void)references, (void)counters, (void)resolutions, (void)qualifiers;
    if (!is_allowed(c, ANY, "fmi3GetIntervalFraction")) return fmi3Error;
    return none(c, count, "fmi3GetIntervalFraction", "clocks");
}

#define DECIMALS(function, type) \
    CALL(function)(fmi3Instance c, const fmi3ValueReference references[], size_t count, type values[]) \
    { \
        (void)references, (void)values; \
        return is_allowed(c, ANY, #function) ? none(c, count, #function, "clocks") : fmi3Error; \
    }
DECIMALS(fmi3GetShiftDecimal, fmi3Float64)
DECIMALS(fmi3SetIntervalDecimal, const fmi3Float64)
DECIMALS(fmi3SetShiftDecimal, const fmi3Float64)

#define FRACTIONS(function, type) \
    CALL(function)(fmi3Instance c, const fmi3ValueReference references[], size_t count, type counters[], \
                   type resolutions[]) \
    { \
        (void)references, (void)counters, (void)resolutions; \
        return is_allowed(c, ANY, #function) ? none(c, count, #function, "clocks") : fmi3Error; \
    }
FRACTIONS(fmi3GetShiftFraction, fmi3UInt64)
FRACTIONS(fmi3SetIntervalFraction, const fmi3UInt64)
FRACTIONS(fmi3SetShiftFraction, const fmi3UInt64)

CALL(fmi3EvaluateDiscreteStates)(fmi3Instance c)
{
    return is_allowed(c, INITIALIZATION | EVENT, "fmi3EvaluateDiscreteStates") ? fmi3OK : fmi3Error;
}

CALL(fmi3UpdateDiscreteStates)(fmi3Instance c, fmi3Boolean *again, fmi3Boolean *terminate,
                               fmi3Boolean *nominals_changed, fmi3Boolean *values_changed,
                               fmi3Boolean *has_next_event, fmi3Float64 *next_event)
{
    fmi3Boolean *const answers[] = {again, terminate, nominals_changed, values_changed, has_next_event};
    static const char function[] = "fmi3UpdateDiscreteStates";
    (void)next_event;
    if (!is_allowed(c, EVENT, function)) return fmi3Error;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; ++i) {
        if (!is_there(c, answers[i], 1, function)) return fmi3Error;
        *answers[i] = false;
    }
    return fmi3OK;
}

/* Model exchange. */

CALL(fmi3EnterContinuousTimeMode)(fmi3Instance c)
{
    return enter(c, EVENT, CONTINUOUS, "fmi3EnterContinuousTimeMode");
}

CALL(fmi3CompletedIntegratorStep)(fmi3Instance c, fmi3Boolean no_set, fmi3Boolean *enter_event_mode,
                                  fmi3Boolean *terminate)
{
    (void)no_set;
    if (!is_allowed(c, CONTINUOUS, "fmi3CompletedIntegratorStep")) return fmi3Error;
    if (!is_there(c, enter_event_mode, 1, "fmi3CompletedIntegratorStep")) return fmi3Error;
    if (!is_there(c, terminate, 1, "fmi3CompletedIntegratorStep")) return fmi3Error;
    *enter_event_mode = *terminate = false;
    return fmi3OK;
}

CALL(fmi3SetTime)(fmi3Instance c, fmi3Float64 time)
{
    return set_time(c, time, "fmi3SetTime");
}

#define STATELESS(function, type, what) \
    CALL(function)(fmi3Instance c, type values[], size_t count) \
    { \
        (void)values; \
        return is_allowed(c, ANY, #function) ? none(c, count, #function, what) : fmi3Error; \
    }
STATELESS(fmi3SetContinuousStates, const fmi3Float64, "continuous states")
STATELESS(fmi3GetContinuousStateDerivatives, fmi3Float64, "continuous states")
STATELESS(fmi3GetContinuousStates, fmi3Float64, "continuous states")
STATELESS(fmi3GetNominalsOfContinuousStates, fmi3Float64, "continuous states")
STATELESS(fmi3GetEventIndicators, fmi3Float64, "event indicators")

#define ZERO(function) \
    CALL(function)(fmi3Instance c, size_t *count) \
    { \
        if (!is_allowed(c, ANY, #function) || !is_there(c, count, 1, #function)) return fmi3Error; \
        *count = 0; \
        return fmi3OK; \
    }
ZERO(fmi3GetNumberOfEventIndicators)
ZERO(fmi3GetNumberOfContinuousStates)

/* Co-simulation. */

CALL(fmi3EnterStepMode)(fmi3Instance c)
{
    if (!is_allowed(c, ANY, "fmi3EnterStepMode")) return fmi3Error;
    return failed(c, "fmi3EnterStepMode: this FMU has no event mode");
}

CALL(fmi3GetOutputDerivatives)(fmi3Instance c, const fmi3ValueReference references[], size_t count,
                               const fmi3Int32 orders[], fmi3Float64 values[], size_t n)
{
    (void)references, (void)orders, (void)values, (void)n;
    if (!is_allowed(c, ANY, "fmi3GetOutputDerivatives")) return fmi3Error;
    return none(c, count, "fmi3GetOutputDerivatives", "derivatives by time");
}

CALL(fmi3DoStep)(fmi3Instance c, fmi3Float64 from, fmi3Float64 size, fmi3Boolean no_set,
                 fmi3Boolean *event_needed, fmi3Boolean *terminate, fmi3Boolean *early, fmi3Float64 *last)
{
    fmi3Boolean *const answers[] = {event_needed, terminate, early};
    (void)no_set;
    if (c == NULL || !is_there(c, last, 1, "fmi3DoStep")) return fmi3Error;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; ++i) {
        if (!is_there(c, answers[i], 1, "fmi3DoStep")) return fmi3Error;
        *answers[i] = false;
    }
    if (step(c, from, size, "fmi3DoStep") != fmi3OK) return fmi3Error;
    *last = ((const Block *)c)->state.time;
    return fmi3OK;
}

/* Scheduled execution, of which there are no instances. */
CALL(fmi3ActivateModelPartition)(fmi3Instance c, fmi3ValueReference clock, fmi3Float64 time)
{
    (void)clock, (void)time;
    if (!is_allowed(c, ANY, "fmi3ActivateModelPartition")) return fmi3Error;
    return failed(c, "fmi3ActivateModelPartition: this FMU has no clocks");
}
