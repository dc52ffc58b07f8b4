// iceoryx.cpp: publisher and subscriber on iceoryx, both told to wait rather than to drop.
//
//     iceoryx consume COUNTS              receives for ever
//     iceoryx COUNTS INDEX RECORDS        as every producer
#include "counts.h"

#include <iceoryx_posh/popo/publisher.hpp>
#include <iceoryx_posh/popo/subscriber.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>

static const iox::capro::ServiceDescription service{"tally", "peers", "usage"};

static int consume(const char *path)
{
    struct counts *counts = counts_map(path);
    iox::popo::SubscriberOptions options;

    iox::runtime::PoshRuntime::initRuntime("consumer");
    options.queueCapacity = 256;
    options.queueFullPolicy = iox::popo::QueueFullPolicy::BLOCK_PRODUCER;
    iox::popo::Subscriber<struct message> subscriber(service, options);
    puts("ready");
    fflush(stdout);
    for (;;) {
        bool more = true;
        while (more) {
            more = false;
            subscriber.take().and_then([&](auto &sample) {
                counts_received(counts, sample->producer);
                more = true;
            });
        }
        usleep(100);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "consume") == 0)
        return consume(argv[2]);
    struct producer producer = producer_start(argc, argv);
    char name[32];
    snprintf(name, sizeof(name), "producer-%s", argv[2]);
    iox::runtime::PoshRuntime::initRuntime(iox::RuntimeName_t(iox::cxx::TruncateToCapacity, name));
    iox::popo::PublisherOptions options;
    options.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
    iox::popo::Publisher<struct message> publisher(service, options);
    while (!publisher.hasSubscribers())
        usleep(1000);
    for (uint64_t number = 1; producer_goes_on(&producer, number); number++) {
        bool sent = false;
        while (!sent)
            publisher.loan()
                .and_then([&](auto &sample) {
                    sample->producer = producer.index;
                    sample->number = number;
                    sample.publish();
                    sent = true;
                })
                .or_else([](auto &) { usleep(100); });
        producer_acknowledged(&producer, number);
    }
    return 0;
}
