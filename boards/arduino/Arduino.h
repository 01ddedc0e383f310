/* The part of Arduino's core that an exported sketch uses, to compile and run it without a board.

   What is sent to the serial port is the text SERIAL_INPUT; once the sketch has read it all and waits, the
   program ends. */

#ifndef ARDUINO_H
#define ARDUINO_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

unsigned long micros();
void yield();
void setup();
void loop();

class SerialPort {
public:
    operator bool() { return true; }
    void begin(unsigned long baud);
    int available();
    int read();
    size_t print(const char *text);
    size_t print(char character);
    size_t print(unsigned long number);
    size_t print(double number, int digits = 2);
    size_t println(const char *text);
    size_t println(double number, int digits = 2);
};
extern SerialPort Serial;

#endif
