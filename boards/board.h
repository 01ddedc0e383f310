/* What a start-up gives to the program, and the program to it. */

#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/* Copies initialised data, clears the rest, runs the program, and ends. */
void run(void);
/* Tells the debugger, here QEMU, and comes back unless the operation ends the program. */
void semihosting(uint32_t operation, const void *argument);
/* Prints why, and ends. */
void failed(const char *reason);

/* The stack pointer of the function that calls this. */
uint32_t *stack_pointer(void);

/* How many instructions lie between the two. */
void start_counting(void);
uint32_t instructions(void);

#endif
