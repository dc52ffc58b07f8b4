"""What a client is to do: words of three, WISH URL FILE; see README.md. And how all say what came back."""
import sys


def headers_of(number, wish):
    return {"Content-Type": "application/json", "Authorization": "Bearer sk-standin-secret", "x-standin": wish,
            "x-tally-tags": f"exchange={number}.{wish.split(',')[0]}"}


def requests():
    words = sys.argv[1:]
    for number in range(len(words) // 3):
        wish, url, path = words[number * 3:number * 3 + 3]
        with open(path, "rb") as file:
            yield url, headers_of(number, wish), file.read()


def say(status, body):
    sys.stdout.buffer.write(b"%d\n%s\n" % (status, body))
    sys.stdout.buffer.flush()
