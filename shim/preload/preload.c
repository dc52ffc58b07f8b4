/* preload.c: what runs when the library is loaded into a program: the environment is read, and nothing else. */
#include "capture/settings.h"

__attribute__((constructor)) static void preload_start(void)
{
    capture_settings_read();
}
