// boost.cpp: producer and consumer on a Boost.Interprocess message_queue, whose lock stands in shared memory.
//
//     boost QUEUE consume COUNTS              makes the queue, and receives for ever
//     boost QUEUE COUNTS INDEX RECORDS        as every producer
#include "counts.h"

#include <boost/interprocess/ipc/message_queue.hpp>

namespace ipc = boost::interprocess;

static int consume(const char *name, const char *path)
{
    struct counts *counts = counts_map(path);
    ipc::message_queue queue(ipc::create_only, name, 1024, sizeof(struct message));

    puts("ready");
    fflush(stdout);
    for (;;) {
        struct message message;
        ipc::message_queue::size_type size = 0;
        unsigned priority = 0;
        queue.receive(&message, sizeof(message), size, priority);
        counts_received(counts, message.producer);
    }
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[2], "consume") == 0)
        return consume(argv[1], argv[3]);
    if (argc != 5)
        return 2;
    struct producer producer = producer_start(argc - 1, argv + 1);
    ipc::message_queue queue(ipc::open_only, argv[1]);
    struct message message = {producer.index, 0, "usage"};
    for (message.number = 1; producer_goes_on(&producer, message.number); message.number++) {
        queue.send(&message, sizeof(message), 0);
        producer_acknowledged(&producer, message.number);
    }
    return 0;
}
