-- The third schema of usage.db: rows of calls in less room. Applied by migrations in agent/store/schema.c; never edited once
-- released. A file of this version is on its way to the fourth: the rows of before stand in usage_v2 until convert.c has
-- moved them all, and there is no `usage`.

CREATE TABLE usage_labels (      -- what many calls have in common; a row of it may stand here more than once
  id                        INTEGER PRIMARY KEY,
  first_usage_id            INTEGER NOT NULL,     -- of the row that it was made for; later rows use it for a while: labels.c
  provider                  TEXT,
  operation                 TEXT,
  request_model             TEXT,
  response_model            TEXT,
  service_tier              TEXT,
  server_address            TEXT,
  error_type                TEXT,
  team                      TEXT,
  project                   TEXT,
  key_fingerprint           TEXT,
  status                    TEXT NOT NULL,
  http_status               INTEGER,
  flags                     INTEGER NOT NULL,
  cost_basis                TEXT,
  price_table_id            INTEGER
);

CREATE TABLE usage_rows (        -- one row a call: what differs from call to call. A column costs a byte, unknown or not
  id                        INTEGER PRIMARY KEY,
  label_id                  INTEGER NOT NULL,
  client_id                 INTEGER NOT NULL,
  lane_id                   INTEGER NOT NULL,
  sequence                  INTEGER NOT NULL,
  time_unix_ns              INTEGER NOT NULL,
  since_start_ns            INTEGER,              -- NULL: the call started its duration before time_unix_ns
  duration_ns               INTEGER,
  input_tokens              INTEGER,
  output_tokens             INTEGER,
  cost_picodollars          INTEGER,
  cache_read_tokens         INTEGER,
  cache_write_5m_tokens     INTEGER,
  cache_write_1h_tokens     INTEGER,
  reasoning_tokens          INTEGER,
  input_audio_tokens        INTEGER,
  output_audio_tokens       INTEGER,
  input_image_tokens        INTEGER,
  output_image_tokens       INTEGER,
  time_to_first_token_ns    INTEGER,
  provider_cost_picodollars INTEGER,
  list_cost_picodollars     INTEGER
);

CREATE TABLE usage_texts (       -- texts of one call's own, if it has any; the call's id
  id                        INTEGER PRIMARY KEY,
  response_id               TEXT,
  user                      TEXT,
  session                   TEXT,
  trace_id                  TEXT,
  span_id                   TEXT,
  tags                      TEXT,
  usage_json                TEXT,
  truncated                 TEXT
);

CREATE TABLE usage_calls (       -- of calls recorded by begin/end; the call's id
  id                        INTEGER PRIMARY KEY,
  call_id                   BLOB NOT NULL,
  call_step                 INTEGER,
  call_records              INTEGER,
  call_records_total        INTEGER,
  field_steps               BLOB,
  amendable                 INTEGER
);

DROP INDEX usage_amendable;
CREATE INDEX usage_amendable ON usage_calls (call_id) WHERE amendable IS NOT NULL;
ALTER TABLE usage RENAME TO usage_v2;
