/* Send numbers for x[0] [m], x[1], with a space or a line's end behind each:
   prints u [m/s], and how long it took. */

#include <tiny.h>

static float x[TINY_INPUTS], u[TINY_OUTPUTS];

void setup()
{
  Serial.begin(115200);
  while (!Serial)
    yield();
  Serial.println("Send x[0] [m], x[1]");
}

/* The next number that is sent; waits for it. */
static float nextNumber()
{
  char word[25];
  size_t length = 0;
  for (;;) {
    while (!Serial.available())
      yield();
    const int c = Serial.read();
    if (c > ' ' && c != ',') {
      if (length < sizeof word - 1)
        word[length++] = static_cast<char>(c);
    } else if (length > 0) {
      word[length] = '\0';
      return static_cast<float>(strtod(word, nullptr));
    }
  }
}

static void printAll(const float *values, size_t count)
{
  for (size_t i = 0; i < count; ++i) {
    Serial.print(static_cast<double>(values[i]), 7);
    Serial.print(' ');
  }
}

void loop()
{
  for (size_t j = 0; j < TINY_INPUTS; ++j)
    x[j] = nextNumber();

  const unsigned long start = micros();
  tiny_eval(x, u);
  const unsigned long took = micros() - start;

  Serial.print("u [m/s]: ");
  printAll(u, TINY_OUTPUTS);
  Serial.print("in ");
  Serial.print(took);
  Serial.println(" us");
}
