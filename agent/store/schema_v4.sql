-- The fourth schema of usage.db: all rows have been moved, and `usage` is again what it was to whoever reads it. Applied by
-- migrations in agent/store/schema.c; never edited once released.

DROP TABLE usage_v2;

-- One row a call, in the columns of the first two schemas, which say what they mean.
CREATE VIEW usage AS SELECT
  r.id AS id,
  r.client_id AS client_id,
  r.lane_id AS lane_id,
  r.sequence AS sequence,
  r.time_unix_ns AS time_unix_ns,
  c.call_id AS call_id,
  c.call_step AS call_step,
  c.call_records AS call_records,
  c.call_records_total AS call_records_total,
  c.field_steps AS field_steps,
  c.amendable AS amendable,
  l.provider AS provider,
  l.operation AS operation,
  l.request_model AS request_model,
  l.response_model AS response_model,
  t.response_id AS response_id,
  l.service_tier AS service_tier,
  l.server_address AS server_address,
  l.error_type AS error_type,
  t.user AS user,
  l.team AS team,
  l.project AS project,
  t.session AS session,
  l.key_fingerprint AS key_fingerprint,
  t.trace_id AS trace_id,
  t.span_id AS span_id,
  t.tags AS tags,
  r.input_tokens AS input_tokens,
  r.output_tokens AS output_tokens,
  r.cache_read_tokens AS cache_read_tokens,
  r.cache_write_5m_tokens AS cache_write_5m_tokens,
  r.cache_write_1h_tokens AS cache_write_1h_tokens,
  r.reasoning_tokens AS reasoning_tokens,
  r.input_audio_tokens AS input_audio_tokens,
  r.output_audio_tokens AS output_audio_tokens,
  r.input_image_tokens AS input_image_tokens,
  r.output_image_tokens AS output_image_tokens,
  CASE WHEN r.since_start_ns IS NOT NULL THEN r.time_unix_ns - r.since_start_ns
       WHEN r.duration_ns >= r.time_unix_ns THEN 0
       ELSE r.time_unix_ns - ifnull(r.duration_ns, 0) END AS start_time_unix_ns,
  r.duration_ns AS duration_ns,
  r.time_to_first_token_ns AS time_to_first_token_ns,
  r.provider_cost_picodollars AS provider_cost_picodollars,
  l.status AS status,
  l.http_status AS http_status,
  l.flags AS flags,
  t.usage_json AS usage_json,
  t.truncated AS truncated,
  r.cost_picodollars AS cost_picodollars,
  l.cost_basis AS cost_basis,
  r.list_cost_picodollars AS list_cost_picodollars,
  l.price_table_id AS price_table_id
FROM usage_rows r
  LEFT JOIN usage_labels l ON l.id = r.label_id
  LEFT JOIN usage_texts t ON t.id = r.id
  LEFT JOIN usage_calls c ON c.id = r.id;
