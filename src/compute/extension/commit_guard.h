// commit_guard.h: nobody is told of a commit that the safekeeper does not have.
#ifndef HALOGEN_EXTENSION_COMMIT_GUARD_H
#define HALOGEN_EXTENSION_COMMIT_GUARD_H

// Installs it. Requires: called while the postmaster loads its libraries, after hg_log_mask_init().
void hg_commit_guard_init(void);

#endif
