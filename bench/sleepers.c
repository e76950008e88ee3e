/* Threads that wake twice a second and do nothing. Usage: sleepers THREADS SECONDS */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static void *sleeper(void *unused) {
  for (;;) usleep(500000);
  return unused;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 65536);
  for (long i = atol(argv[1]); i > 0; i--) {
    pthread_t thread;
    if (pthread_create(&thread, &small, sleeper, NULL)) return 1;
    if (i % 100 == 0) usleep(10000);
  }
  sleep(atoi(argv[2]));
  return 0;
}
