// plan.py's other self: what a client is to do, and how it says what came back.
'use strict';
const fs = require('node:fs');

exports.requests = function* () {
  const words = process.argv.slice(2);
  for (let number = 0; number * 3 + 2 < words.length; number++) {
    const [wish, url, path] = words.slice(number * 3, number * 3 + 3);
    const headers = {
      'Content-Type': 'application/json',
      Authorization: 'Bearer sk-standin-secret',
      'x-standin': wish,
      'x-tally-tags': `exchange=${number}.${wish.split(',')[0]}`,
    };
    yield { url, headers, body: fs.readFileSync(path) };
  }
};

exports.say = function (status, body) {
  fs.writeSync(1, Buffer.concat([Buffer.from(`${status}\n`), body, Buffer.from('\n')]));
};
