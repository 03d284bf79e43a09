/** As much of the protobuf wire format as the load needs. */

export function varint(value) {
  const bytes = [];
  let rest = BigInt(value);
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

export function field(number, value) {
  if (typeof value === 'number' || typeof value === 'bigint')
    return Buffer.concat([varint(number << 3), varint(value)]);
  const bytes = Buffer.from(value);
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
}

export function message(...fields) {
  return Buffer.concat(fields);
}

/** Fields by number, the last one wins: bigint for numbers, Buffer for the rest. */
export function parse(bytes) {
  const found = new Map();
  let at = 0;
  const read = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(read());
    const kind = tag & 7;
    if (kind === 0) found.set(tag >> 3, read());
    else if (kind === 2) {
      const length = Number(read());
      found.set(tag >> 3, bytes.subarray(at, at + length));
      at += length;
    } else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else throw new Error(`wire type ${kind}`);
  }
  return found;
}

/** A message as gRPC sends it: not compressed, with its length. */
export function grpcFrame(body) {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(body.length, 1);
  return Buffer.concat([prefix, body]);
}

/** How often a field is in a message, without a copy of anything. */
export function countField(bytes, number) {
  let at = 0;
  let count = 0;
  const read = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = read();
    if (Math.floor(tag / 8) === number) count += 1;
    const kind = tag % 8;
    if (kind === 0) read();
    else if (kind === 2) {
      // Two steps: the length moves `at` as well.
      const length = read();
      at += length;
    } else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else throw new Error(`wire type ${kind}`);
  }
  return count;
}
