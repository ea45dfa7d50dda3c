// redo_test_workload.h: statements that make records of every kind that changes pages.
#pragma once

namespace halogen::pageserver::testing {

constexpr const char* kWorkload = R"sql(
CREATE TABLE t(id serial PRIMARY KEY, n int, s text, a int[], p point, r int4range);
ALTER TABLE t SET (fillfactor = 70);
CREATE INDEX t_hash ON t USING hash(n);
CREATE INDEX t_gin ON t USING gin(a);
CREATE INDEX t_gist ON t USING gist(p);
CREATE INDEX t_spgist ON t USING spgist(p);
CREATE INDEX t_range ON t USING spgist(r);
CREATE INDEX t_text ON t USING spgist(s);
CREATE INDEX t_brin ON t USING brin(id) WITH (pages_per_range = 2, autosummarize = off);
INSERT INTO t(n, s, a, p, r)
  SELECT i % 997, md5(i::text), ARRAY[i % 50, i % 333, i], point(i % 211, i / 211),
         int4range(i, i + i % 17) FROM generate_series(1, 12000) i;
SELECT brin_summarize_new_values('t_brin') IS NOT NULL;

-- HOT and other updates, deletes, locks, savepoints, aborts.
UPDATE t SET s = s || 'x' WHERE id % 3 = 0;
UPDATE t SET n = n + 1, p = point(id, id) WHERE id % 7 = 0;
DELETE FROM t WHERE id % 11 = 0;
VACUUM t;
BEGIN; SELECT count(*) FROM (SELECT 1 FROM t WHERE id % 5 = 0 FOR UPDATE) x; COMMIT;
BEGIN; UPDATE t SET n = -n WHERE id < 500; ROLLBACK;
BEGIN; SAVEPOINT a; DELETE FROM t WHERE id < 100; ROLLBACK TO a; UPDATE t SET n = 1 WHERE id < 50;
COMMIT;
VACUUM (FREEZE) t;
-- Bits of the visibility map are cleared again.
UPDATE t SET s = 'y' WHERE id BETWEEN 3000 AND 3300;
DELETE FROM t WHERE id BETWEEN 5000 AND 5200;
SELECT count(*) FROM (SELECT 1 FROM t WHERE id BETWEEN 7000 AND 7100 FOR SHARE) x;
INSERT INTO t(n, s, a, p, r) SELECT i, 'z', ARRAY[i], point(i, i), int4range(i, i + 2)
  FROM generate_series(1, 3000) i;
VACUUM t;

-- Index pages that are deleted and used again, and a posting tree.
DELETE FROM t WHERE id BETWEEN 1000 AND 9000;
VACUUM t;
INSERT INTO t(n, s, a, p, r) SELECT i, repeat('q', i % 100), ARRAY[1, 2, 3], point(i, -i),
  'empty' FROM generate_series(1, 4000) i;
VACUUM t;
REINDEX INDEX t_gist;

-- A btree that keeps its parents but few of their leaves: each leaf that goes is a record of its
-- parent, which also makes the leaf anew.
CREATE TABLE sparse AS SELECT i id, repeat('x', 480) pad FROM generate_series(1, 9000) i;
CREATE INDEX sparse_id ON sparse(id) INCLUDE (pad);
DELETE FROM sparse WHERE id % 1000 <> 0;
VACUUM sparse;

-- TOAST, COPY's multi-inserts, an index built over rows, a table written anew.
CREATE TABLE big(id int, b text);
INSERT INTO big SELECT i, (SELECT string_agg(md5((i * j)::text), '') FROM generate_series(1, 300) j)
  FROM generate_series(1, 60) i;
UPDATE big SET b = b || 'tail' WHERE id % 4 = 0;
CREATE TABLE copy_of AS SELECT * FROM t;
CREATE UNIQUE INDEX ON copy_of(id);
CREATE INDEX ON copy_of(n) INCLUDE (s);
CLUSTER copy_of USING copy_of_id_idx;
ALTER TABLE copy_of ADD COLUMN extra int DEFAULT 7, ALTER COLUMN n TYPE bigint;
DELETE FROM copy_of WHERE id > 3000;
VACUUM copy_of;  -- Cuts the end off.
TRUNCATE big;
INSERT INTO big VALUES (1, 'again');

-- Speculative insertion, and rows locked by many.
CREATE TABLE u(k int PRIMARY KEY, v int);
INSERT INTO u SELECT i % 700, i FROM generate_series(1, 700) i;
INSERT INTO u SELECT i, 0 FROM generate_series(1, 900) i ON CONFLICT (k) DO UPDATE SET v = -1;
INSERT INTO u SELECT i, 0 FROM generate_series(1, 950) i ON CONFLICT DO NOTHING;

-- Sequences in every state.
CREATE SEQUENCE s1; CREATE SEQUENCE s2 INCREMENT -5; CREATE SEQUENCE s3 CACHE 10;
CREATE SEQUENCE s4;
SELECT nextval('s1') FROM generate_series(1, 45);
SELECT nextval('s2') FROM generate_series(1, 3);
SELECT nextval('s3') FROM generate_series(1, 7);
SELECT setval('s4', 1000, false);
CREATE UNLOGGED TABLE unlogged(x int); INSERT INTO unlogged VALUES (1);
CREATE TEMP TABLE temporary(x int); INSERT INTO temporary VALUES (1);
CREATE UNLOGGED SEQUENCE s5; SELECT nextval('s5');
)sql";

}  // namespace halogen::pageserver::testing
