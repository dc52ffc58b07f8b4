// iceoryx.cpp: the contender that publishes with iceoryx, and its subscriber; both wait rather than drop.
#include "order.h"
#include "reader.h"

#include <iceoryx_posh/popo/publisher.hpp>
#include <iceoryx_posh/popo/subscriber.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>

static const iox::capro::ServiceDescription service{"tally", "bench", "usage"};

static iox::popo::Publisher<struct message> *publisher;
static uint64_t *taken;
static uint64_t sent;

static void record(uint64_t number)
{
    bool done = false;

    while (!done)
        publisher->loan()
            .and_then([&](auto &sample) {
                sample->number = number;
                memset(sample->filling, 'x', sizeof(sample->filling));
                sample.publish();
                done = true;
            })
            .or_else([](auto &) { sched_yield(); });
    sent++;
}

static void read_all(void)
{
    iox::popo::SubscriberOptions options;

    iox::runtime::PoshRuntime::initRuntime("reader");
    options.queueCapacity = 256;
    options.queueFullPolicy = iox::popo::QueueFullPolicy::BLOCK_PRODUCER;
    iox::popo::Subscriber<struct message> subscriber(service, options);
    int empty = 0;
    for (;;) {
        bool more = false;
        subscriber.take().and_then([&](auto &) {
            __atomic_add_fetch(taken, 1, __ATOMIC_RELEASE); // pairs with reader_await()
            more = true;
        });
        empty = more ? 0 : empty + 1;
        if (empty > 1000) // nothing comes: the processor is another contender's
            usleep(1000);
        else if (!more)
            sched_yield();
    }
}

static void await(void)
{
    reader_await(taken, sent);
}

int main()
{
    iox::popo::PublisherOptions options;

    taken = static_cast<uint64_t *>(shared_memory(sizeof(*taken)));
    reader_start(read_all);
    iox::runtime::PoshRuntime::initRuntime("writer");
    options.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
    publisher = new iox::popo::Publisher<struct message>(service, options);
    while (!publisher->hasSubscribers())
        usleep(1000);
    return order_serve(record, await);
}
