-- What the workers counted themselves (table own, from `server --show`) against what tally persisted.
-- A thread that was killed may have been killed after a record was handed over and before it
-- could count that: the record is then in the database, as it should be, though its `done` is one behind
-- its `tried`. So, for each thread: done <= persisted <= tried, and tried - done <= 1; and no
-- room at all for a thread that was not killed.

CREATE TEMP VIEW kept AS
SELECT session, sum(call_id IS NULL) AS records, max(CASE WHEN call_id IS NULL THEN input_tokens END) AS record_last,
       count(DISTINCT CASE WHEN call_id IS NULL THEN input_tokens END) AS record_numbers,
       sum(call_id IS NOT NULL) AS calls, max(CASE WHEN call_id IS NOT NULL THEN input_tokens END) AS call_last,
       count(DISTINCT CASE WHEN call_id IS NOT NULL THEN input_tokens END) AS call_numbers,
       sum(call_id IS NOT NULL AND status <> 'aborted') AS calls_ended, sum(status = 'aborted') AS calls_aborted
FROM ledger.usage GROUP BY session;

CREATE TEMP TABLE compared AS
SELECT own.*, coalesce(records, 0) AS records, coalesce(record_last, 0) AS record_last,
       coalesce(record_numbers, 0) AS record_numbers, coalesce(calls, 0) AS calls, coalesce(call_last, 0) AS call_last,
       coalesce(call_numbers, 0) AS call_numbers, coalesce(calls_ended, 0) AS calls_ended,
       coalesce(calls_aborted, 0) AS calls_aborted,
       records_tried + begins_tried + progress_tried + ends_tried AS tried,
       records_done + begins_done + progress_done + ends_done AS done
FROM own LEFT JOIN kept USING (session);

-- One line a fault; no line is the good answer.
CREATE TEMP VIEW faults AS
SELECT session, 'acknowledged ' || records_done || ' records of ' || records_tried || ', persisted ' || records AS fault
  FROM compared WHERE records NOT BETWEEN records_done AND records_tried
UNION ALL SELECT session, 'records persisted are not numbers 1 to ' || records || ', each once'
  FROM compared WHERE record_numbers <> records OR record_last <> records
UNION ALL SELECT session, 'began ' || begins_done || ' calls of ' || begins_tried || ', persisted ' || calls
  FROM compared WHERE calls NOT BETWEEN begins_done AND begins_tried
UNION ALL SELECT session, 'calls persisted are not numbers 1 to ' || calls || ', each once'
  FROM compared WHERE call_numbers <> calls OR call_last <> calls
UNION ALL SELECT session, 'ended ' || ends_done || ' calls of ' || ends_tried || ', persisted ' || calls_ended || ' as ended'
  FROM compared WHERE calls_ended NOT BETWEEN ends_done AND ends_tried
UNION ALL SELECT session, 'tried ' || tried || ', was acknowledged ' || done || ': more than one in flight'
  FROM compared WHERE tried - done > 1
UNION ALL SELECT session, 'was not killed, and yet tried ' || tried || ' and was acknowledged ' || done
  FROM compared WHERE NOT killed AND tried <> done
UNION ALL SELECT session, refusals || ' calls into the library were refused' FROM compared WHERE refusals > 0
UNION ALL SELECT session, 'rows of a session that no worker had' FROM kept WHERE session IS NULL OR session NOT IN (SELECT session FROM own);
