/* tally.c: the producer that records with tally. output_tokens is the record's number. */
#include "counts.h"

#include <tally/tally.h>

int main(int argc, char **argv)
{
    struct producer producer = producer_start(argc, argv);
    struct tally_usage usage = TALLY_USAGE_INIT;
    char name[32];

    snprintf(name, sizeof(name), "%s", argv[2]);
    usage.provider = "openai";
    usage.request_model = "gpt-4o-mini";
    usage.project = name;
    usage.input_tokens = 812;
    for (uint64_t number = 1; producer_goes_on(&producer, number); number++) {
        usage.output_tokens = (int64_t)number;
        if (tally_record(&usage) != 0)
            return 1;
        producer_acknowledged(&producer, number);
    }
    return 0;
}
