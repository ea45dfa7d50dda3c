// size_limit.h: a branch that is larger than its project's quota allows is not written to, but for
// what makes it smaller.
#ifndef HALOGEN_EXTENSION_SIZE_LIMIT_H
#define HALOGEN_EXTENSION_SIZE_LIMIT_H

#include "pg.h"

void hg_size_limit_init(void);

#endif
