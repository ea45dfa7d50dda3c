// log_mask.h: keeps clients' secrets, and what a terminal would obey, out of postgres.log.
#ifndef HALOGEN_EXTENSION_LOG_MASK_H
#define HALOGEN_EXTENSION_LOG_MASK_H

// Call when the library is loaded, in every process of a server. Effect: what the server logs is
// masked (README.md has the rules, L1 to L4); what clients are told is not. None if the layer
// log_mask is out (protocol/isolation.h).
void hg_log_mask_init(void);

#endif
