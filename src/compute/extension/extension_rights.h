// extension_rights.h: an owner creates the extensions of owner_extensions.def without being a
// superuser. README.md has the rules (X1 to X5).
#ifndef HALOGEN_EXTENSION_EXTENSION_RIGHTS_H
#define HALOGEN_EXTENSION_EXTENSION_RIGHTS_H

#include "pg.h"

void hg_extension_rights_init(void);

// script_guard.c: keeps a tenant's objects out of extensions' scripts that run with rights that
// are not the tenant's.
void hg_script_guard_init(void);

#endif
