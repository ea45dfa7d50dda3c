-- Run once in database postgres by the template builder. The library is found through
-- dynamic_library_path, so that the functions survive its being moved.
CREATE SCHEMA IF NOT EXISTS halogen;
REVOKE ALL ON SCHEMA halogen FROM PUBLIC;

-- WAL-logs what WAL would miss; call it just before a clean stop, when clients are parked.
CREATE OR REPLACE FUNCTION halogen.prepare_suspend() RETURNS pg_lsn
  LANGUAGE C STRICT AS 'halogen', 'halogen_prepare_suspend';
REVOKE ALL ON FUNCTION halogen.prepare_suspend() FROM PUBLIC;

-- A page without what replay may differ in; rmgr as in pg_get_wal_resource_managers(), -1 for none.
CREATE OR REPLACE FUNCTION halogen.mask_page(page bytea, blkno int8, rmgr int) RETURNS bytea
  LANGUAGE C STRICT IMMUTABLE AS 'halogen', 'halogen_mask_page';
REVOKE ALL ON FUNCTION halogen.mask_page(bytea, int8, int) FROM PUBLIC;
