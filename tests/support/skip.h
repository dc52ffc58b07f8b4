/* skip.h: skip a cmocka test and say why. cmocka's own skip() has no reason; the runner
 * takes it from this line and prints it at the end. */
#ifndef TESTS_SUPPORT_SKIP_H
#define TESTS_SUPPORT_SKIP_H

#define skip_because(why)                                                                                    \
    do {                                                                                                     \
        print_message("# skip: %s\n", why);                                                                  \
        skip();                                                                                              \
    } while (0)

#endif
