// read_only.h: on a look at the past nobody but the platform changes anything.
#ifndef HALOGEN_EXTENSION_READ_ONLY_H
#define HALOGEN_EXTENSION_READ_ONLY_H

#include "pg.h"

// Call when the library is loaded, before the prefix of its settings is reserved. Effect: with
// halogen.read_only each statement of a tenant is one of a read-only transaction, whatever the
// session has set.
void hg_read_only_init(void);

#endif
