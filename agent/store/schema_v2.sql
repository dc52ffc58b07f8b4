-- The second schema of usage.db: what calls cost. Applied by migrations in agent/store/schema.c; never edited once released.

CREATE TABLE price_tables (      -- the price lists that rows were priced by; rows of it are never deleted
  id                  INTEGER PRIMARY KEY,
  name                TEXT NOT NULL,           -- the file's name as configured, or "built-in"
  sha256              TEXT NOT NULL UNIQUE,    -- of its text, as sha256sum(1) prints it
  date                TEXT,                    -- of its newest fact; NULL: it does not say
  models              INTEGER NOT NULL,        -- entries that state a price
  first_used_unix_ns  INTEGER NOT NULL
);

CREATE TABLE unknown_shapes (    -- usage objects that could not be understood, counted as their rows are written
  provider            TEXT NOT NULL,           -- '': unknown, or one of the many beyond the first 256
  kind                TEXT NOT NULL,           -- unknown: a shape that nobody knows; damaged: no JSON
  calls               INTEGER NOT NULL,
  first_unix_ns       INTEGER NOT NULL,
  last_unix_ns        INTEGER NOT NULL,
  usage_id            INTEGER NOT NULL,        -- the newest such row, with the object as it came
  PRIMARY KEY (provider, kind)
) WITHOUT ROWID;

-- cost_picodollars is what counts; it has a reason, and a price list behind it.
--   list      the price list's
--   provider  the provider's own statement: where it is believed, or where the list has no price
-- and without a cost: no_model (the list has none of that name), no_rate (no price for something that was used),
-- no_counts (how much was used is not known), too_large. NULL: written before there were prices; see tally-reprice.
ALTER TABLE usage ADD COLUMN cost_basis TEXT;
ALTER TABLE usage ADD COLUMN list_cost_picodollars INTEGER; -- by the price list, where the provider's statement counts instead
ALTER TABLE usage ADD COLUMN price_table_id INTEGER;        -- the price list that was asked; NULL: none

-- 64 bits of picodollars end at 9.2 million dollars. The two sums of money count on in whole millions, and
-- keep the rest, below 10^18, in the column that there was.
ALTER TABLE usage_hourly ADD COLUMN provider_cost_millions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hourly ADD COLUMN cost_millions INTEGER NOT NULL DEFAULT 0;
UPDATE usage_hourly SET
  provider_cost_millions = provider_cost_picodollars / 1000000000000000000,
  provider_cost_picodollars = provider_cost_picodollars % 1000000000000000000
  WHERE provider_cost_picodollars >= 1000000000000000000;
UPDATE usage_hourly SET
  cost_millions = cost_picodollars / 1000000000000000000,
  cost_picodollars = cost_picodollars % 1000000000000000000
  WHERE cost_picodollars >= 1000000000000000000;
