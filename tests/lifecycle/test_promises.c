/* Two promises to the program that records: it is not held up, and its secrets stay with it. */
#include "support/test.h"

#include "support/tries.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* ---- not held up --------------------------------------------------------------------------------- */

/* Steady traffic that an agent drains. Somebody else keeps it awake and the lane is large, so that there is no cause to ring;
 * only a machine that was busy with others for more than a second may make one: one record in a hundred at most. */
static void no_call_and_no_allocation(void **state)
{
    struct room *room = *state;
    const uint64_t records = 5000;

    if (SANITIZED)
        skip_because("sanitizers make calls and allocations of their own");
    room_set(room, "TALLY_LANE_KIB", "1024");
    agent_start(room);
    struct program *other = room_start(room, "soak", "steady", "100", NULL);
    wait_until(atomic_load(&room->counters->writer_count) >= 1);
    for (int i = 0; i < 2; i++) {
        struct counters *counters = room->counters;
        const struct counters_writer *writer = &counters->writers[1 + i];
        atomic_store(&counters->values[0], 0);
        struct program *program = room_start(room, i ? "usual-static" : "usual", "5000", NULL);
        room_expect_exit(room, program, 0);
        assert_int_equal(writer->acknowledged, records + 10);
        assert_int_equal(counters->values[1], 0);
        if (counters->values[0] > records / 100)
            fail_msg("%llu system calls in %llu records, the last is number %llu",
                     (unsigned long long)counters->values[0], (unsigned long long)records,
                     (unsigned long long)counters->values[2]);
        printf("# note: %llu records, %llu system calls, %llu allocations\n", (unsigned long long)records,
               (unsigned long long)counters->values[0], (unsigned long long)counters->values[1]);
    }
    room_go(room, 1);
    room_expect_exit(room, other, 0);
    books_expect_ends(room, 1, 2, 0);
    tries(2 * records, "records with system calls refused");
}

/* ---- secrets --------------------------------------------------------------------------------------- */

#define SECRET "sk-never-to-be-seen-4711"
#define PLAIN  "plain-to-see"

struct search {
    unsigned int files, with_plain, with_secret;
};

static void search_file(struct search *search, const char *path)
{
    struct stat info;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    assert_true(file >= 0);
    assert_int_equal(fstat(file, &info), 0);
    if (S_ISREG(info.st_mode) && info.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        assert_true(bytes != MAP_FAILED);
        search->files++;
        search->with_plain += memmem(bytes, (size_t)info.st_size, PLAIN, strlen(PLAIN)) != NULL;
        if (memmem(bytes, (size_t)info.st_size, SECRET, strlen(SECRET)) != NULL) {
            print_error("a secret stands in %s\n", path);
            search->with_secret++;
        }
        munmap(bytes, (size_t)info.st_size);
    }
    close(file);
}

static void search_folder(struct search *search, const char *folder, const char *beginning)
{
    char path[ROOM_PATH_MAX * 4];
    const struct dirent *entry;
    DIR *listing = opendir(folder);

    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (strncmp(entry->d_name, beginning, strlen(beginning)) == 0 && entry->d_type == DT_REG)
            search_file(search, path);
    }
    if (listing != NULL)
        closedir(listing);
}

/* All that tally leaves anywhere: shared memory, spill files, the state folder, what programs and agents printed. */
static struct search search_all(const struct room *room)
{
    static const char *const folders[] = {"state", "state/spill", "home/tally", "home/tally/spill"};
    struct search search = {0};
    char path[ROOM_PATH_MAX];

    search_folder(&search, "/dev/shm", room->arena + 1);
    search_folder(&search, room->directory, "output");
    search_folder(&search, room->directory, "agent");
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", room->directory, folders[i]);
        search_folder(&search, path, "");
    }
    assert_int_equal(search.with_secret, 0);
    return search;
}

static void no_secret_leaves_the_program(void **state)
{
    struct room *room = *state;

    room_set(room, "TALLY_OVERFLOW", "spill");
    room_set(room, "TALLY_LANES", "4");
    room_set(room, "TALLY_LANE_KIB", "16");
    room_set(room, "OPENAI_API_KEY", SECRET);
    for (int i = 0; i < 2; i++)
        room_run(room, i ? "secrets-static" : "secrets", "200", SECRET, NULL);
    assert_true(books_spill_files(room) > 0);
    struct search before = search_all(room);
    assert_true(before.with_plain >= 2); /* the search finds what is there: in a lane, in a file */
    agent_start(room);
    wait_until(books_number(room, "SELECT count(*) FROM usage WHERE user = '" PLAIN "'") == 400);
    struct search after = search_all(room);
    assert_true(after.with_plain >= 2);
    agent_stop(room);
    struct search last = search_all(room);
    tries(room->counters->values[0], "records beside a secret");
    tries(before.files + after.files + last.files, "files searched");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(no_call_and_no_allocation),
        room_test(no_secret_leaves_the_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
