// hook.js: tells tally's preloaded library what node's own HTTP clients send and receive. Loaded before the program, by --require.
//
// node's TLS is its own, so nothing below it can look into what it reads. There are two clients: undici (fetch), which says what it does on
// diagnostics channels, and http/https, whose requests and responses are watched object by object. Bytes are shown to the library
// and passed on as they are. Nothing here may throw into the program: what goes wrong ends the watching of that request.
'use strict';

const COMPLETE = 0;
const CUT = 1;
const CANCELLED = 2;
const FAILED = 3;
const IGNORED = 0;

// The program finds its environment as it was.
function restoreEnvironment() {
  const before = process.env.TALLY_NODE_OPTIONS;
  if (before === undefined) return;
  delete process.env.TALLY_NODE_OPTIONS;
  if (before === '') delete process.env.NODE_OPTIONS;
  else process.env.NODE_OPTIONS = before;
}

function loadLibrary() {
  const module = { exports: {} };
  process.dlopen(module, require('node:path').join(__dirname, 'libtally-preload.so'));
  return module.exports;
}

// A request as the library follows it. Every method may be called in any state.
class Call {
  constructor(tally, tls, method, target, host) {
    this.tally = tally;
    this.handle = tally.open(tls, method, target, host);
    this.answered = false;
    this.givenUp = false;
  }

  // What the library is told; after a failure, or the end, nothing.
  tell(action) {
    if (this.handle === undefined) return;
    try {
      action(this.handle);
    } catch {
      this.end(CANCELLED);
    }
  }

  end(how, error) {
    const handle = this.handle;
    if (handle === undefined) return;
    this.handle = undefined;
    try {
      this.tally.close(handle, how, error);
    } catch {
      // it has been told all that could be told
    }
  }

  // [name, value, name, value, ...]. Whether it is worth going on.
  requestHead(headers) {
    this.tell((handle) => {
      for (let i = 0; i + 1 < headers.length; i += 2) this.tally.requestHeader(handle, String(headers[i]), String(headers[i + 1]));
      if (this.tally.requestHead(handle) === IGNORED) this.end(COMPLETE);
    });
    return this.handle !== undefined;
  }

  requestBody(chunk, encoding) {
    if (chunk === undefined || chunk === null || typeof chunk === 'function') return;
    this.tell((handle) => this.tally.requestBody(handle, bytesOf(chunk, encoding)));
  }

  requestEnd() {
    this.tell((handle) => this.tally.requestEnd(handle));
  }

  // By an error, the program's own or another's.
  fail(error) {
    if (this.givenUp || isGivingUp(error)) this.end(CANCELLED);
    else this.end(this.answered ? CUT : FAILED, errorClass(error));
  }

  response(status, headers) {
    this.answered = true;
    this.tell((handle) => {
      this.tally.status(handle, status);
      for (let i = 0; i + 1 < headers.length; i += 2) this.tally.responseHeader(handle, String(headers[i]), String(headers[i + 1]));
      this.tally.responseHead(handle);
    });
  }

  responseBody(chunk) {
    this.tell((handle) => this.tally.responseBody(handle, bytesOf(chunk)));
  }
}

function bytesOf(chunk, encoding) {
  if (typeof chunk === 'string') return Buffer.from(chunk, typeof encoding === 'string' ? encoding : 'utf8');
  if (ArrayBuffer.isView(chunk)) return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  return Buffer.from(chunk);
}

function errorClass(error) {
  const name = error && (error.code || error.name);
  return typeof name === 'string' ? name.slice(0, 100) : undefined;
}

function isGivingUp(error) {
  return Boolean(error) && (error.name === 'AbortError' || error.code === 'ABORT_ERR' || error.code === 'UND_ERR_ABORTED');
}

// ---- undici: fetch, and the undici that a program brings itself ----

// "name: value\r\n..." (undici 5), a list of names and values (6, 7), or an object.
function listOf(headers) {
  if (Array.isArray(headers)) return headers.flat();
  if (typeof headers !== 'string') return Object.entries(headers || {}).flat();
  const list = [];
  for (const line of headers.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) list.push(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return list;
}

// The call begins before its last byte leaves.
async function* tapped(request, body, call) {
  let length = 0;
  for await (const chunk of body) {
    call.requestBody(chunk);
    length += chunk.length;
    if (length === request.contentLength) call.requestEnd();
    yield chunk;
  }
  call.requestEnd();
}

// Whether a body is there from the beginning.
function isWhole(body) {
  return body === undefined || body === null || typeof body === 'string' || ArrayBuffer.isView(body) || body instanceof ArrayBuffer;
}

function tapRequestBody(request, call) {
  const body = request.body;
  if (isWhole(body)) call.requestBody(body);
  else if (typeof body.on === 'function' && typeof body.push === 'function') tapPush(body, (chunk, encoding) => call.requestBody(chunk, encoding));
  else if (typeof body[Symbol.asyncIterator] === 'function') request.body = tapped(request, body, call);
}

// A readable stream's chunks, without making it flow.
function tapPush(stream, see) {
  const push = stream.push;
  stream.push = function (chunk, encoding) {
    if (chunk !== null && chunk !== undefined) see(chunk, encoding);
    return push.call(this, chunk, encoding);
  };
}

function watchUndici(tally, channel) {
  const calls = new WeakMap();

  const on = (name, see) =>
    channel(`undici:request:${name}`).subscribe((message) => {
      try {
        see(message, calls.get(message.request));
      } catch {
        // a version that does things otherwise: that request is not watched
      }
    });

  on('create', ({ request }) => {
    const origin = String(request.origin || '');
    const call = new Call(tally, origin.startsWith('https:'), request.method, request.path, origin.replace(/^[a-z]+:\/\//, ''));
    if (!call.requestHead(listOf(request.headers))) return;
    calls.set(request, call);
    tapRequestBody(request, call);
    const onData = request.onData;
    if (typeof onData === 'function')
      request.onData = function (chunk, ...rest) {
        call.responseBody(chunk);
        return onData.call(this, chunk, ...rest);
      };
  });
  channel('undici:client:sendHeaders').subscribe(({ request }) => {
    const call = calls.get(request);
    if (call && isWhole(request.body)) call.requestEnd();
  });
  on('bodySent', (message, call) => call && call.requestEnd());
  on('headers', ({ response }, call) => {
    if (!call) return;
    call.requestEnd();
    call.response(response.statusCode, (response.headers || []).map((part) => part.toString('latin1')));
  });
  on('bodyChunkReceived', ({ chunk, request }, call) => call && typeof request.onData !== 'function' && call.responseBody(chunk));
  on('trailers', (message, call) => call && call.end(COMPLETE));
  on('error', ({ error }, call) => {
    if (!call) return;
    call.requestEnd();
    call.fail(error);
  });
}

// ---- http and https ----

function watchHttp(tally, http) {
  const calls = new WeakMap();
  const { write, end } = http.OutgoingMessage.prototype;

  function begin(request) {
    if (calls.has(request) || !(request instanceof http.ClientRequest)) return calls.get(request);
    let call;
    try {
      const headers = request.getHeaders();
      const host = String(headers.host || request.host || '');
      call = new Call(tally, request.protocol === 'https:', request.method, request.path, host);
      if (!call.requestHead(Object.entries(headers).flat())) call = undefined;
      else watchResponse(request, call);
    } catch {
      call = undefined;
    }
    calls.set(request, call);
    return call;
  }

  http.OutgoingMessage.prototype.write = function (chunk, encoding, ...rest) {
    const call = begin(this);
    if (call) call.requestBody(chunk, encoding);
    return write.call(this, chunk, encoding, ...rest);
  };
  http.OutgoingMessage.prototype.end = function (chunk, encoding, ...rest) {
    const call = begin(this);
    if (call && !this.finished) {
      call.requestBody(chunk, encoding);
      call.requestEnd();
    }
    return end.call(this, chunk, encoding, ...rest);
  };
}

// node destroys a response of its own when the connection is gone, and says so; all else is the program's doing.
function noteGivingUp(stream, call) {
  const destroy = stream.destroy;
  stream.destroy = function (error, ...rest) {
    if (!error || error.code !== 'ECONNRESET') call.givenUp = true;
    return destroy.call(this, error, ...rest);
  };
}

// 'response' is looked for in emit(): a listener of ours would keep node from throwing away answers that nobody wants.
function watchResponse(request, call) {
  noteGivingUp(request, call);
  const emit = request.emit;
  request.emit = function (event, first, ...rest) {
    if (event === 'response') {
      call.response(first.statusCode, first.rawHeaders);
      tapPush(first, (chunk, encoding) => call.responseBody(bytesOf(chunk, encoding)));
      noteGivingUp(first, call);
      first.once('end', () => call.end(COMPLETE));
      first.once('close', () => (first.complete ? call.end(COMPLETE) : call.fail(first.errored)));
    } else if (event === 'error') {
      call.fail(first);
    } else if (event === 'close' && !request.res) {
      call.end(CANCELLED);
    }
    return emit.call(this, event, first, ...rest);
  };
}

try {
  restoreEnvironment();
  const tally = loadLibrary();
  watchUndici(tally, require('node:diagnostics_channel').channel);
  watchHttp(tally, require('node:http'));
} catch {
  // no addons allowed here, or another library: the program runs as ever, and is not seen
}
