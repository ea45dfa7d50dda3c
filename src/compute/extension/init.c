// init.c: where postgres enters. Does nothing visible unless asked.
#include "commit_guard.h"
#include "epoch.h"
#include "extension_rights.h"
#include "log_mask.h"
#include "login.h"
#include "read_only.h"
#include "redo.h"
#include "role_guard.h"
#include "session.h"
#include "size_limit.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void _PG_init(void) {
  // Only a stand-alone process can be taken over; a server never is, whatever its environment.
  if (getenv("HALOGEN_REDO") != NULL && !IsUnderPostmaster && !IsPostmasterEnvironment) {
    hg_redo_install();
    return;
  }
  hg_session_init();
  hg_epoch_init();
  hg_read_only_init();
  hg_size_limit_init();
  hg_role_guard_init();
  hg_extension_rights_init();
  hg_log_mask_init();
  hg_commit_guard_init();
  hg_login_init();  // Last, so that its hook is the first to see a client.
}
