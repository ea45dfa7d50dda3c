// epoch.h: tells connections that what logins depend on has changed. Contract:
// protocol/session_state.h.
#ifndef HALOGEN_EXTENSION_EPOCH_H
#define HALOGEN_EXTENSION_EPOCH_H

#include "pg.h"

// Call when the library is loaded, in the postmaster: all backends count.
void hg_epoch_init(void);

// For a session that reports:
void hg_epoch_tell_login(void);  // While its startup packet is worked on.
void hg_epoch_tell(void);        // Before ReadyForQuery.

#endif
