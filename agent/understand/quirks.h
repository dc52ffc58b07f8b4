/* quirks.h: what the table of shapes cannot say with a path: lists whose items say what they count. */
#ifndef TALLY_UNDERSTAND_QUIRKS_H
#define TALLY_UNDERSTAND_QUIRKS_H

#include "understand/shapes.h"

/* Gemini: [{"modality": "AUDIO", "tokenCount": 144}, ...]. Added up: prompt and tool use are both input. */
void quirk_input_modalities(const cJSON *item, struct figures *figures);
void quirk_output_modalities(const cJSON *item, struct figures *figures);
void quirk_cache_modalities(const cJSON *item, struct figures *figures);
/* Anthropic: what each sampling within a request used; the main counts leave out those of type "compaction". */
void quirk_iterations(const cJSON *item, struct figures *figures);
/* Bedrock: [{"inputTokens": 2074, "ttl": "5m"}, ...]: cache writes by lifetime. */
void quirk_cache_lifetimes(const cJSON *item, struct figures *figures);
/* Titan: [{"tokenCount": 12, ...}, ...]: output by result. */
void quirk_titan_results(const cJSON *item, struct figures *figures);

#endif
