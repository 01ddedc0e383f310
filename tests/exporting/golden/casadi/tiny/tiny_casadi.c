/*
 * tiny of tiny.c as an external function of CasADi: u = tiny(x), x of x[0], x[1], u of u.
 * Compiled with it into a shared object, casadi.external("tiny", "./tiny.so") loads it. Null pointers
 * among arguments are zeros, those among results are not wanted; matrices lie by columns.
 */
#include "tiny.h"
#if TINY_EXPORT != 0x6db19cf7u
#error "tiny_casadi.c and tiny.h are of two exports; export all files again"
#endif

#if defined(_WIN32)
#define TINY_VISIBLE __declspec(dllexport)
#elif defined(__GNUC__)
#define TINY_VISIBLE __attribute__((visibility("default")))
#else
#define TINY_VISIBLE
#endif

typedef long long int tiny_int;

static const double tiny_zeros[TINY_INPUTS] = {0};
/* Rows, columns, and whether all numbers are there; else where each column begins, and no number is there. */
static const tiny_int tiny_of_x[3] = {2, 1, 1};
static const tiny_int tiny_of_u[3] = {1, 1, 1};
static const tiny_int tiny_of_J[3] = {1, 2, 1};
static const tiny_int tiny_of_H[3] = {2, 2, 1};
static const tiny_int tiny_no_u[4] = {1, 1, 0, 0};
static const tiny_int tiny_no_J[5] = {1, 2, 0, 0, 0};
static const tiny_int tiny_no_H[4] = {2, 1, 0, 0};

TINY_VISIBLE int tiny(const double **arg, double **res, tiny_int *iw, double *w, int mem)
{
    const double *x = arg[0] ? arg[0] : tiny_zeros;
    (void)iw;
    (void)w;
    (void)mem;
    if (res[0]) tiny_eval(x, res[0]);
    return 0;
}

TINY_VISIBLE tiny_int tiny_n_in(void) { return 1; }
TINY_VISIBLE tiny_int tiny_n_out(void) { return 1; }

TINY_VISIBLE const char *tiny_name_in(tiny_int i)
{
    static const char *const names[] = {"x"};
    return 0 <= i && i < 1 ? names[i] : 0;
}

TINY_VISIBLE const char *tiny_name_out(tiny_int i)
{
    static const char *const names[] = {"u"};
    return 0 <= i && i < 1 ? names[i] : 0;
}

TINY_VISIBLE const tiny_int *tiny_sparsity_in(tiny_int i)
{
    static const tiny_int *const sparsities[] = {tiny_of_x};
    return 0 <= i && i < 1 ? sparsities[i] : 0;
}

TINY_VISIBLE const tiny_int *tiny_sparsity_out(tiny_int i)
{
    static const tiny_int *const sparsities[] = {tiny_of_u};
    return 0 <= i && i < 1 ? sparsities[i] : 0;
}

TINY_VISIBLE int tiny_work(tiny_int *args, tiny_int *results, tiny_int *iw, tiny_int *w)
{
    if (args) *args = 1;
    if (results) *results = 1;
    if (iw) *iw = 0;
    if (w) *w = 0;
    return 0;
}

TINY_VISIBLE int jac_tiny(const double **arg, double **res, tiny_int *iw, double *w, int mem)
{
    enum { d = TINY_INPUTS, m = TINY_OUTPUTS };
    const double *x = arg[0] ? arg[0] : tiny_zeros;
    double *u = w, *J = w + m;
    (void)iw;
    (void)mem;
    if (!res[0]) return 0;
    tiny_jacobian(x, u, J);
    for (int j = 0; j < d; ++j)
        for (int i = 0; i < m; ++i) res[0][j * m + i] = J[i * d + j];
    return 0;
}

TINY_VISIBLE tiny_int jac_tiny_n_in(void) { return 2; }
TINY_VISIBLE tiny_int jac_tiny_n_out(void) { return 1; }

TINY_VISIBLE const char *jac_tiny_name_in(tiny_int i)
{
    static const char *const names[] = {"x", "out_u"};
    return 0 <= i && i < 2 ? names[i] : 0;
}

TINY_VISIBLE const char *jac_tiny_name_out(tiny_int i)
{
    static const char *const names[] = {"jac_u_x"};
    return 0 <= i && i < 1 ? names[i] : 0;
}

TINY_VISIBLE const tiny_int *jac_tiny_sparsity_in(tiny_int i)
{
    static const tiny_int *const sparsities[] = {tiny_of_x, tiny_no_u};
    return 0 <= i && i < 2 ? sparsities[i] : 0;
}

TINY_VISIBLE const tiny_int *jac_tiny_sparsity_out(tiny_int i)
{
    static const tiny_int *const sparsities[] = {tiny_of_J};
    return 0 <= i && i < 1 ? sparsities[i] : 0;
}

TINY_VISIBLE int jac_tiny_work(tiny_int *args, tiny_int *results, tiny_int *iw, tiny_int *w)
{
    if (args) *args = 2;
    if (results) *results = 1;
    if (iw) *iw = 0;
    if (w) *w = 3;
    return 0;
}

TINY_VISIBLE int jac_jac_tiny(const double **arg, double **res, tiny_int *iw, double *w, int mem)
{
    enum { d = TINY_INPUTS, m = TINY_OUTPUTS };
    const double *x = arg[0] ? arg[0] : tiny_zeros;
    double *u = w, *J = w + m, *H = w + m + m * d;
    (void)iw;
    (void)mem;
    if (!res[0]) return 0;
    tiny_hessian(x, u, J, H);
    for (int k = 0; k < d; ++k)
        for (int j = 0; j < d; ++j)
            for (int i = 0; i < m; ++i) res[0][(k * d + j) * m + i] = H[(i * d + j) * d + k];
    return 0;
}

TINY_VISIBLE tiny_int jac_jac_tiny_n_in(void) { return 3; }
TINY_VISIBLE tiny_int jac_jac_tiny_n_out(void) { return 2; }

TINY_VISIBLE const char *jac_jac_tiny_name_in(tiny_int i)
{
    static const char *const names[] = {"x", "out_u", "out_jac_u_x"};
    return 0 <= i && i < 3 ? names[i] : 0;
}

TINY_VISIBLE const char *jac_jac_tiny_name_out(tiny_int i)
{
    static const char *const names[] = {"jac_jac_u_x_x", "jac_jac_u_x_out_u"};
    return 0 <= i && i < 2 ? names[i] : 0;
}

TINY_VISIBLE const tiny_int *jac_jac_tiny_sparsity_in(tiny_int i)
{
    static const tiny_int *const sparsities[] = {tiny_of_x, tiny_no_u, tiny_no_J};
    return 0 <= i && i < 3 ? sparsities[i] : 0;
}

TINY_VISIBLE const tiny_int *jac_jac_tiny_sparsity_out(tiny_int i)
{
    static const tiny_int *const sparsities[] = {tiny_of_H, tiny_no_H};
    return 0 <= i && i < 2 ? sparsities[i] : 0;
}

TINY_VISIBLE int jac_jac_tiny_work(tiny_int *args, tiny_int *results, tiny_int *iw, tiny_int *w)
{
    if (args) *args = 3;
    if (results) *results = 2;
    if (iw) *iw = 0;
    if (w) *w = 7;
    return 0;
}
