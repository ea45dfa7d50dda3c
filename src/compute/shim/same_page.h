// same_page.h: whether storage's version of a page may take the place of the local one.
//
// Pure. Storage makes pages by replaying WAL, as recovery would, and what replay leaves otherwise
// than the server had it, it may lose in a crash only (src/backend/access/*, the *_mask functions,
// list it):
//  - hints: they may be lost at any time;
//  - the command ids of tuples, by which a transaction tells its own commands apart (a statement
//    must not see what itself has inserted): they may be lost once hints say that it has ended;
//  - PD_ALL_VISIBLE without a new LSN: it must be the same, as who clears it relies on it to clear
//    the visibility map, too;
//  - the vacuum cycle of a B-tree page that was split meanwhile: it must be the same.
#pragma once
#include <cstdint>

namespace halogen::shim {

// Of a page's header; 0 for a page of zeros.
uint64_t page_lsn(const char* page);
// Both are 8192 bytes. False is always safe.
bool same_page(const char* local, const char* in_storage);

}  // namespace halogen::shim
