/* Which network this FMU is of. What stands in tables has the order of modelDescription.xml. */
#ifndef MODEL_HEADER
#define MODEL_HEADER

#include "network.h"

#define TOKEN "{3355e012-7e46-5ee2-812e-8aced309ac10}"
#define EXPORT TINY3_EXPORT
#define INPUTS TINY3_INPUTS
#define OUTPUTS TINY3_OUTPUTS
#define EVALUATE tiny3_eval
#define JACOBIAN tiny3_jacobian
#define GUARDED 1
#define INSIDE tiny3_inside

typedef float real;

static const char *const variables[INPUTS + OUTPUTS] = {"x[0]", "x[1]", "u"};
static const double start[INPUTS] = {0.5, 0.0};
static const double lower[INPUTS] = {0.0, -1.0};
static const double upper[INPUTS] = {1.0, 1.0};

#endif
