-- The first schema of usage.db. Applied by migrations in agent/store/schema.c; never edited once
-- released: later versions add files. Names are those of struct tally_usage. Times are
-- nanoseconds since 1970 UTC, money is picodollars (10^-12 US dollar), NULL is unknown.

CREATE TABLE meta (              -- epoch: grows with each agent that opens the file; see store.h; instance: its name
  key   TEXT PRIMARY KEY,
  value
) WITHOUT ROWID;

CREATE TABLE arenas (            -- and spill logs, each as an arena of one lane, whose position counts bytes of records
  id                 INTEGER PRIMARY KEY,
  uuid               BLOB NOT NULL,
  spill_uid          INTEGER NOT NULL DEFAULT -1, -- -1: an arena; else a spill log, and the owner of its files
  path               TEXT NOT NULL,
  boot_id            BLOB,
  created_unix_ns    INTEGER,
  attached_unix_ns   INTEGER NOT NULL,      -- when an agent last attached
  retired_unix_ns    INTEGER,               -- when it was drained for the last time
  refused_no_lane    INTEGER NOT NULL DEFAULT 0,
  refused_reentered  INTEGER NOT NULL DEFAULT 0,
  refused_no_spill   INTEGER NOT NULL DEFAULT 0,
  UNIQUE (uuid, spill_uid)
);

CREATE TABLE lanes (             -- a log: all below `position` and up to `sequence` is committed
  id                 INTEGER PRIMARY KEY,
  arena_id           INTEGER NOT NULL,
  lane               INTEGER NOT NULL,
  position           INTEGER NOT NULL DEFAULT 0,
  sequence           INTEGER NOT NULL DEFAULT 0,
  persisted          INTEGER NOT NULL DEFAULT 0,  -- records applied, counted one by one
  lost               INTEGER NOT NULL DEFAULT 0,  -- numbered records known to be lost: see losses
  refused            INTEGER NOT NULL DEFAULT 0,  -- records refused with an error: no number
  quarantines        INTEGER NOT NULL DEFAULT 0,
  client_id          INTEGER,                     -- whose tenure it is, or was last
  tenure             INTEGER NOT NULL DEFAULT 0,  -- struct tally_lane_entry.tenures
  tenure_first_sequence INTEGER NOT NULL DEFAULT 0,
  tenure_first_refused  INTEGER NOT NULL DEFAULT 0,
  tenure_open        INTEGER NOT NULL DEFAULT 0,
  tid                INTEGER,
  start_time         INTEGER,
  UNIQUE (arena_id, lane)
);

CREATE TABLE clients (           -- one row a session: a process, or a client object within one
  id                  INTEGER PRIMARY KEY,
  session_id          BLOB NOT NULL UNIQUE,
  parent_id           INTEGER,                    -- of a client object: its process's row
  service             TEXT,
  host                TEXT,
  pid                 INTEGER,
  process_start_time  INTEGER,
  pid_namespace       INTEGER,
  uid                 INTEGER,
  executable          TEXT,
  tags                TEXT,
  resource_attributes TEXT,
  library_version     TEXT,
  truncated           INTEGER NOT NULL DEFAULT 0,
  started_unix_ns     INTEGER NOT NULL,           -- its first record
  last_unix_ns        INTEGER NOT NULL,           -- its newest record
  ended_unix_ns       INTEGER,
  ended               TEXT,                       -- NULL: running; clean, died, exec; unknown: had no lane
  complete            INTEGER NOT NULL DEFAULT 0, -- 1: ended, and its last sequence number was reached on every lane
  tenures             INTEGER NOT NULL DEFAULT 0,
  tenures_open        INTEGER NOT NULL DEFAULT 0,
  tenures_died        INTEGER NOT NULL DEFAULT 0,
  written             INTEGER NOT NULL DEFAULT 0, -- numbered records, from the lanes' sequences
  persisted           INTEGER NOT NULL DEFAULT 0, -- records applied, counted one by one
  lost                INTEGER NOT NULL DEFAULT 0,
  refused             INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE usage (             -- one row a call; id grows with commit order
  id                        INTEGER PRIMARY KEY,
  client_id                 INTEGER NOT NULL,
  lane_id                   INTEGER NOT NULL,     -- the record that ended the call: (lane_id, sequence)
  sequence                  INTEGER NOT NULL,     -- aborted calls: the last record known of it
  time_unix_ns              INTEGER NOT NULL,     -- of that record
  call_id                   BLOB,                 -- of calls recorded by begin/end
  call_step                 INTEGER,              -- newest step that went into the row
  call_records              INTEGER,              -- begin and progress records that went into the row ...
  call_records_total        INTEGER,              -- ... of so many, as the call's end says; NULL: not said
  field_steps               BLOB,                 -- while amendable: which step said what; rows.h
  amendable                 INTEGER,              -- not NULL: a record still to come may amend it; bits: rows.h
  provider                  TEXT,
  operation                 TEXT,
  request_model             TEXT,
  response_model            TEXT,
  response_id               TEXT,
  service_tier              TEXT,
  server_address            TEXT,
  error_type                TEXT,
  user                      TEXT,
  team                      TEXT,
  project                   TEXT,
  session                   TEXT,
  key_fingerprint           TEXT,
  trace_id                  TEXT,
  span_id                   TEXT,
  tags                      TEXT,
  input_tokens              INTEGER,
  output_tokens             INTEGER,
  cache_read_tokens         INTEGER,
  cache_write_5m_tokens     INTEGER,
  cache_write_1h_tokens     INTEGER,
  reasoning_tokens          INTEGER,
  input_audio_tokens        INTEGER,
  output_audio_tokens       INTEGER,
  input_image_tokens        INTEGER,
  output_image_tokens       INTEGER,
  start_time_unix_ns        INTEGER NOT NULL,     -- stated, else derived from time and duration
  duration_ns               INTEGER,
  time_to_first_token_ns    INTEGER,
  provider_cost_picodollars INTEGER,
  status                    TEXT NOT NULL,        -- ok, error, cancelled, aborted
  http_status               INTEGER,
  flags                     INTEGER NOT NULL DEFAULT 0,
  usage_json                TEXT,
  truncated                 TEXT,                 -- names of columns that were cut or left out
  cost_picodollars          INTEGER
);
-- Small: only rows that may still change. Everything else is found by id, time by the
-- rollups; an index more would cost each insert and few reports would use it.
CREATE INDEX usage_amendable ON usage (call_id) WHERE amendable IS NOT NULL;

CREATE TABLE lane_clients (      -- client objects introduced in a lane's present tenure
  lane_id            INTEGER NOT NULL,
  client             INTEGER NOT NULL,            -- tally_record_header.client
  client_id          INTEGER NOT NULL,
  PRIMARY KEY (lane_id, client)
) WITHOUT ROWID;

CREATE TABLE open_calls (        -- calls in flight; fields: as they stood in the records, merged
  call_id             BLOB PRIMARY KEY,
  client_id           INTEGER NOT NULL,
  lane_id             INTEGER NOT NULL,
  sequence            INTEGER NOT NULL,
  time_unix_ns        INTEGER NOT NULL,           -- of the newest record
  call_step           INTEGER NOT NULL,
  begun_unix_ns       INTEGER,                    -- of its begin record; NULL: not seen yet
  call_records        INTEGER NOT NULL,
  field_steps         BLOB,                       -- which step said what; rows.h
  provider TEXT, operation TEXT, request_model TEXT, response_model TEXT, response_id TEXT,
  service_tier TEXT, server_address TEXT, error_type TEXT, user TEXT, team TEXT, project TEXT,
  session TEXT, key_fingerprint TEXT, trace_id TEXT, span_id TEXT, tags TEXT,
  input_tokens INTEGER, output_tokens INTEGER, cache_read_tokens INTEGER,
  cache_write_5m_tokens INTEGER, cache_write_1h_tokens INTEGER, reasoning_tokens INTEGER,
  input_audio_tokens INTEGER, output_audio_tokens INTEGER, input_image_tokens INTEGER,
  output_image_tokens INTEGER, start_time_unix_ns INTEGER, duration_ns INTEGER,
  time_to_first_token_ns INTEGER, provider_cost_picodollars INTEGER, status INTEGER,
  http_status INTEGER, flags INTEGER, usage_json TEXT, truncated INTEGER
) WITHOUT ROWID;

CREATE TABLE losses (            -- records lost, by cause; numbered ones and refused ones
  id             INTEGER PRIMARY KEY,
  arena_id       INTEGER NOT NULL,
  lane           INTEGER NOT NULL DEFAULT -1,     -- -1: not on one lane
  client_id      INTEGER NOT NULL DEFAULT 0,      -- 0: not known
  cause          TEXT NOT NULL,                   -- lane_full, no_lane, reentered, quarantined, ...
  numbered       INTEGER NOT NULL,                -- 1: they had sequence numbers
  records        INTEGER,                         -- NULL: not known how many
  first_unix_ns  INTEGER NOT NULL,
  last_unix_ns   INTEGER NOT NULL,
  detail         TEXT,
  UNIQUE (arena_id, lane, client_id, cause)
);

CREATE TABLE usage_hourly (      -- by the UTC hour in which calls started; '' is unknown
  hour_unix_s               INTEGER NOT NULL,
  provider                  TEXT NOT NULL,
  request_model             TEXT NOT NULL,
  service                   TEXT NOT NULL,
  team                      TEXT NOT NULL,
  project                   TEXT NOT NULL,
  key_fingerprint           TEXT NOT NULL,
  status                    TEXT NOT NULL,
  calls                     INTEGER NOT NULL,
  input_tokens              INTEGER NOT NULL,     -- sums over the calls that state it ...
  output_tokens             INTEGER NOT NULL,
  cache_read_tokens         INTEGER NOT NULL,
  cache_write_5m_tokens     INTEGER NOT NULL,
  cache_write_1h_tokens     INTEGER NOT NULL,
  reasoning_tokens          INTEGER NOT NULL,
  input_audio_tokens        INTEGER NOT NULL,
  output_audio_tokens       INTEGER NOT NULL,
  input_image_tokens        INTEGER NOT NULL,
  output_image_tokens       INTEGER NOT NULL,
  duration_ns               INTEGER NOT NULL,
  input_tokens_unknown      INTEGER NOT NULL,     -- ... and how many calls do not
  output_tokens_unknown     INTEGER NOT NULL,
  duration_unknown          INTEGER NOT NULL,
  estimated                 INTEGER NOT NULL,     -- calls whose counts are estimates
  provider_cost_picodollars INTEGER,              -- NULL: no call stated one
  provider_cost_calls       INTEGER NOT NULL,     -- calls that did
  cost_picodollars          INTEGER,              -- NULL: no call has a price
  cost_unknown              INTEGER NOT NULL,     -- calls without one
  PRIMARY KEY (hour_unix_s, provider, request_model, service, team, project, key_fingerprint, status)
) WITHOUT ROWID;
