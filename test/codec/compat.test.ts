/** R9: bytes that release 0.1 wrote (`test/compat`) are read by this one, and mean the same. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { decodeCommand, encodeCommand } from '../../src/codec/command.ts';
import { decodeConfiguration, encodeConfiguration } from '../../src/codec/configuration.ts';
import { fromPeerEnvelope } from '../../src/codec/envelope.ts';
import { PeerEnvelopeSchema } from '../../src/gen/quorate/internal/v1/peer_pb.ts';

interface Golden {
  readonly name: string;
  readonly hex: string;
  readonly value: Record<string, unknown>;
}

function golden(path: string): readonly Golden[] {
  const text = readFileSync(join(import.meta.dirname, '../compat', path), 'utf8');
  return JSON.parse(text, (_, value) => (isBytes(value) ? bytesOf(value.hex) : value)) as Golden[];
}

/** Bytes stand in these files as an object with one field. */
function isBytes(value: unknown): value is { hex: string } {
  return typeof value === 'object' && value !== null && Object.keys(value).join() === 'hex';
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}

/** What fields that are newer than the bytes are read as. */
function withNewFields(value: Record<string, unknown>): unknown {
  const message = value.message as { kind?: string } | undefined;
  if (message?.kind?.startsWith('heartbeat') !== true) return value;
  return { ...value, message: { ...message, sentMs: 0 } };
}

describe('R9: commands of release 0.1', () => {
  it.each(golden('log-v1/commands.json'))('$name', ({ hex, value }) => {
    expect(decodeCommand(bytesOf(hex))).toEqual({ ok: true, value });
    // The machine may compare and hash what it read: the encoding has not changed either.
    expect(Buffer.from(encodeCommand(value as never)).toString('hex')).toBe(hex);
  });
});

describe('R9: envelopes of release 0.1', () => {
  it.each(golden('peer-v1/envelopes.json'))('$name', ({ hex, value }) => {
    const decoded = fromPeerEnvelope(fromBinary(PeerEnvelopeSchema, bytesOf(hex)));
    expect(decoded).toEqual({ ok: true, value: withNewFields(value) });
  });
});

describe('R9: what feature level 2 brought', () => {
  it.each(golden('log-v2/commands.json'))('command $name', ({ hex, value }) => {
    expect(decodeCommand(bytesOf(hex))).toEqual({ ok: true, value });
    expect(Buffer.from(encodeCommand(value as never)).toString('hex')).toBe(hex);
  });

  it.each(golden('log-v2/configurations.json'))('configuration: $name', ({ hex, value }) => {
    expect(decodeConfiguration(bytesOf(hex))).toEqual(value);
    expect(Buffer.from(encodeConfiguration(value as never)).toString('hex')).toBe(hex);
  });

  it.each(golden('peer-v2/envelopes.json'))('envelope $name', ({ hex, value }) => {
    expect(fromPeerEnvelope(fromBinary(PeerEnvelopeSchema, bytesOf(hex)))).toEqual({ ok: true, value });
  });
});
