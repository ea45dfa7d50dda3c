// hook.h: how interposed functions are written.
//
// Each is declared under our own name with libc's as its symbol: libc's headers add attributes and
// inline versions of their own, and the 64-bit names are the same functions here.
#pragma once
#include <dlfcn.h>
#include <errno.h>

#define HALOGEN_HOOK(symbol) __asm__(symbol) __attribute__((visibility("default")))
#define HALOGEN_ALIAS(symbol, of) HALOGEN_HOOK(symbol) __attribute__((alias(of)))

namespace halogen::shim {

// libc's own. A lookup takes long: keep the answer.
template <typename Function>
Function next_symbol(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

// The convention of system calls, for functions of ours that return an errno.
inline int fail(int error) {
  errno = error;
  return -1;
}

}  // namespace halogen::shim
