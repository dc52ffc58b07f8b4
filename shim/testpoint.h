/* testpoint.h: a named place at which a debugger or a ptrace harness can stop the process: a label in the symbol table,
 * no instruction. `volatile` keeps it where it stands; %= makes it unique where the compiler has copied it. */
#ifndef TALLY_SHIM_TESTPOINT_H
#define TALLY_SHIM_TESTPOINT_H

#define TESTPOINT(name) __asm__ volatile("tally_testpoint_" #name "_%=:" ::)

#endif
