-- The fifth schema of usage.db: sums by the day beside those by the hour. Applied by migrations in agent/store/schema.c; never
-- edited once released.

CREATE TABLE usage_daily (       -- usage_hourly by the UTC day, with its columns in their order: whole days of a report
  day_unix_s                INTEGER NOT NULL,
  provider                  TEXT NOT NULL,
  request_model             TEXT NOT NULL,
  service                   TEXT NOT NULL,
  team                      TEXT NOT NULL,
  project                   TEXT NOT NULL,
  key_fingerprint           TEXT NOT NULL,
  status                    TEXT NOT NULL,
  calls                     INTEGER NOT NULL,
  input_tokens              INTEGER NOT NULL,
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
  input_tokens_unknown      INTEGER NOT NULL,
  output_tokens_unknown     INTEGER NOT NULL,
  duration_unknown          INTEGER NOT NULL,
  estimated                 INTEGER NOT NULL,
  provider_cost_picodollars INTEGER,
  provider_cost_calls       INTEGER NOT NULL,
  cost_picodollars          INTEGER,
  cost_unknown              INTEGER NOT NULL,
  provider_cost_millions    INTEGER NOT NULL,
  cost_millions             INTEGER NOT NULL,
  PRIMARY KEY (day_unix_s, provider, request_model, service, team, project, key_fingerprint, status)
) WITHOUT ROWID;

-- Row by row and by the rules of agent/store/rollup.c: sum() would fail where a sum does not fit.
INSERT INTO usage_daily
SELECT hour_unix_s - (hour_unix_s % 86400 + 86400) % 86400,
  provider, request_model, service, team, project, key_fingerprint, status, calls, input_tokens, output_tokens,
  cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, reasoning_tokens, input_audio_tokens,
  output_audio_tokens, input_image_tokens, output_image_tokens, duration_ns, input_tokens_unknown,
  output_tokens_unknown, duration_unknown, estimated, provider_cost_picodollars, provider_cost_calls,
  cost_picodollars, cost_unknown, provider_cost_millions, cost_millions
  FROM usage_hourly WHERE true
  ON CONFLICT DO UPDATE SET
    calls = min(calls, 9223372036854775807 - excluded.calls) + excluded.calls,
    input_tokens = min(input_tokens, 9223372036854775807 - excluded.input_tokens) + excluded.input_tokens,
    output_tokens = min(output_tokens, 9223372036854775807 - excluded.output_tokens) + excluded.output_tokens,
    cache_read_tokens = min(cache_read_tokens, 9223372036854775807 - excluded.cache_read_tokens) + excluded.cache_read_tokens,
    cache_write_5m_tokens = min(cache_write_5m_tokens, 9223372036854775807 - excluded.cache_write_5m_tokens) + excluded.cache_write_5m_tokens,
    cache_write_1h_tokens = min(cache_write_1h_tokens, 9223372036854775807 - excluded.cache_write_1h_tokens) + excluded.cache_write_1h_tokens,
    reasoning_tokens = min(reasoning_tokens, 9223372036854775807 - excluded.reasoning_tokens) + excluded.reasoning_tokens,
    input_audio_tokens = min(input_audio_tokens, 9223372036854775807 - excluded.input_audio_tokens) + excluded.input_audio_tokens,
    output_audio_tokens = min(output_audio_tokens, 9223372036854775807 - excluded.output_audio_tokens) + excluded.output_audio_tokens,
    input_image_tokens = min(input_image_tokens, 9223372036854775807 - excluded.input_image_tokens) + excluded.input_image_tokens,
    output_image_tokens = min(output_image_tokens, 9223372036854775807 - excluded.output_image_tokens) + excluded.output_image_tokens,
    duration_ns = min(duration_ns, 9223372036854775807 - excluded.duration_ns) + excluded.duration_ns,
    input_tokens_unknown = min(input_tokens_unknown, 9223372036854775807 - excluded.input_tokens_unknown) + excluded.input_tokens_unknown,
    output_tokens_unknown = min(output_tokens_unknown, 9223372036854775807 - excluded.output_tokens_unknown) + excluded.output_tokens_unknown,
    duration_unknown = min(duration_unknown, 9223372036854775807 - excluded.duration_unknown) + excluded.duration_unknown,
    estimated = min(estimated, 9223372036854775807 - excluded.estimated) + excluded.estimated,
    provider_cost_calls = min(provider_cost_calls, 9223372036854775807 - excluded.provider_cost_calls) + excluded.provider_cost_calls,
    cost_unknown = min(cost_unknown, 9223372036854775807 - excluded.cost_unknown) + excluded.cost_unknown,
    provider_cost_millions = provider_cost_millions + excluded.provider_cost_millions
      + (ifnull(provider_cost_picodollars, 0) + ifnull(excluded.provider_cost_picodollars, 0)) / 1000000000000000000,
    provider_cost_picodollars = CASE WHEN coalesce(provider_cost_picodollars, excluded.provider_cost_picodollars) IS NOT NULL
      THEN (ifnull(provider_cost_picodollars, 0) + ifnull(excluded.provider_cost_picodollars, 0)) % 1000000000000000000 END,
    cost_millions = cost_millions + excluded.cost_millions
      + (ifnull(cost_picodollars, 0) + ifnull(excluded.cost_picodollars, 0)) / 1000000000000000000,
    cost_picodollars = CASE WHEN coalesce(cost_picodollars, excluded.cost_picodollars) IS NOT NULL
      THEN (ifnull(cost_picodollars, 0) + ifnull(excluded.cost_picodollars, 0)) % 1000000000000000000 END;
