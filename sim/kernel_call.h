// kernel_call.h: for a library that stands between the shim and the kernel.
#pragma once
#include <stdarg.h>

#include <cerrno>

namespace halogen::sim {

// As libc's syscall().
inline long to_kernel(long number, const long (&given)[6]) {
  register long r10 asm("r10") = given[3];
  register long r8 asm("r8") = given[4];
  register long r9 asm("r9") = given[5];
  long result = number;
  asm volatile("syscall"
               : "+a"(result)
               : "D"(given[0]), "S"(given[1]), "d"(given[2]), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  if (result >= 0 || result < -4095) return result;
  errno = static_cast<int>(-result);
  return -1;
}

}  // namespace halogen::sim

// Followed by the body of what becomes of a call `number` with what was `given`; it returns the
// result. Once in a library, outside of namespaces.
#define HALOGEN_REPLACES_SYSCALL                                                              \
  static long replaced_syscall(long number, const long(&given)[6]);                           \
  extern "C" __attribute__((visibility("default"))) long syscall(long number, ...) noexcept { \
    va_list arguments;                                                                        \
    va_start(arguments, number);                                                              \
    long given[6];                                                                            \
    for (long& one : given) one = va_arg(arguments, long);                                    \
    va_end(arguments);                                                                        \
    return replaced_syscall(number, given);                                                   \
  }                                                                                           \
  static long replaced_syscall(long number, const long(&given)[6])
