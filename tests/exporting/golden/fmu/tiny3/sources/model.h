/* Which network this FMU is of. What stands in tables has the order of modelDescription.xml. */
#ifndef MODEL_H
#define MODEL_H

#include "network.h"

#define TOKEN "{fca588f4-fb1a-5264-a9ac-e04ef3e72c95}"
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
