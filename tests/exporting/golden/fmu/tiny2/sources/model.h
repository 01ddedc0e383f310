/* Which network this FMU is of. What stands in tables has the order of modelDescription.xml. */
#ifndef MODEL_HEADER
#define MODEL_HEADER

#include "network.h"

#define TOKEN "{f2193b80-bab4-5aaf-8da5-cbdc3cbd672b}"
#define EXPORT TINY2_EXPORT
#define INPUTS TINY2_INPUTS
#define OUTPUTS TINY2_OUTPUTS
#define EVALUATE tiny2_eval
#define JACOBIAN tiny2_jacobian
#define GUARDED 1
#define INSIDE tiny2_inside

typedef float real;

static const char *const variables[INPUTS + OUTPUTS] = {"x[0]", "x[1]", "u"};
static const double start[INPUTS] = {0.5, 0.0};
static const double lower[INPUTS] = {0.0, -1.0};
static const double upper[INPUTS] = {1.0, 1.0};

#endif
