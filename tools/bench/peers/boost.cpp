// boost.cpp: the contender that records into a Boost.Interprocess message_queue, and its reader.
#include "order.h"
#include "reader.h"

#include <boost/interprocess/ipc/message_queue.hpp>
#include <string>

namespace ipc = boost::interprocess;

static ipc::message_queue *queue;
static uint64_t *taken;
static uint64_t sent;
static struct message message;

static void record(uint64_t number)
{
    message.number = number;
    queue->send(&message, sizeof(message), 0);
    sent++;
}

static void read_all(void)
{
    for (;;) {
        struct message one;
        ipc::message_queue::size_type size = 0;
        unsigned priority = 0;
        queue->receive(&one, sizeof(one), size, priority);
        __atomic_add_fetch(taken, 1, __ATOMIC_RELEASE); // pairs with reader_await()
    }
}

static void await(void)
{
    reader_await(taken, sent);
}

int main()
{
    std::string name = "tally-bench-" + std::to_string(getpid());

    try {
        queue = new ipc::message_queue(ipc::create_only, name.c_str(), 1016, sizeof(struct message));
    } catch (const ipc::interprocess_exception &error) {
        printf("cannot make a queue: %s\n", error.what());
        return 0;
    }
    ipc::message_queue::remove(name.c_str()); // what is mapped stays
    taken = static_cast<uint64_t *>(shared_memory(sizeof(*taken)));
    reader_start(read_all);
    return order_serve(record, await);
}
