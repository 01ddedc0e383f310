/*
 * tiny.onnx
 * compressed for none, by its plan with a relative L2 error of 2.50e-01 against dense, tolerance 0.5
 * Inputs: x[0] in [0, 1], x[1] in [-1, 1].
 * Outputs: u.
 * Relative L2 error against the dense tiny.onnx, on 1 fresh points, none: u 2.50e-01.
 * Written by hedge 0.1.0.
 *
 * tiny_eval computes one row, tiny_eval_batch n rows that lie one after the other.
 * x: x[2]
 * u: u[1]
 * tiny_jacobian computes one row and its derivatives: J[i * TINY_INPUTS + j] is that of u[i] by x[j],
 * at a kink that from the left. J has 1 x 2 numbers and must not overlap x and u.
 * tiny_inside says whether a row lies in the domain (1, else 0); else all results of that row are NaN.
 * x and u must not overlap. Nothing is allocated and nothing is kept between calls,
 * so that several threads may call them at once.
 */
#ifndef TINY_H
#define TINY_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which export this is; its other files refuse to be compiled with another one's header. */
#define TINY_EXPORT 0x26c5b831u

#define TINY_INPUTS 2
#define TINY_OUTPUTS 1
#define TINY_PARAMETERS 22
/* Bytes of all constants. */
#define TINY_FLASH_BYTES 94
/* Bytes of local arrays of tiny_eval and of tiny_eval_batch; compilers add some for registers. */
#define TINY_STACK_BYTES 16
#define TINY_BATCH_STACK_BYTES 512
/* The same of tiny_jacobian. */
#define TINY_JACOBIAN_STACK_BYTES 84

void tiny_eval(const float *x, float *u);
void tiny_eval_batch(size_t n, const float *x, float *u);
void tiny_jacobian(const float *x, float *u, float *J);
int tiny_inside(const float *x);

#ifdef __cplusplus
}
#endif

#endif
