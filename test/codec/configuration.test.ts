import { toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeConfiguration, encodeConfiguration } from '../../src/codec/configuration.ts';
import {
  type Configuration as ConfigurationMessage,
  ConfigurationSchema,
} from '../../src/gen/quorate/internal/v1/log_pb.ts';
import { memberId } from '../../src/types/ids.ts';
import { configuration } from './arbitraries.ts';

const plain: ConfigurationMessage = {
  $typeName: 'quorate.internal.v1.Configuration',
  version: 1,
  voters: ['a', 'b', 'c'],
  votersOutgoing: ['a', 'b'],
  learners: ['d'],
};

describe('R2: configurations as payloads', () => {
  it('come back as they were, and have one encoding', () => {
    fc.assert(
      fc.property(configuration, (before) => {
        const bytes = encodeConfiguration(before);
        expect(decodeConfiguration(bytes)).toEqual(before);
        expect(encodeConfiguration(decodeConfiguration(bytes))).toEqual(bytes);
      }),
    );
  });

  it('may hold a learner that still votes in the outgoing half', () => {
    const demotion = { voters: [memberId('a')], votersOutgoing: ['a', 'b'].map(memberId), learners: [memberId('b')] };
    expect(decodeConfiguration(encodeConfiguration(demotion))).toEqual(demotion);
  });

  it.each<readonly [string, Partial<ConfigurationMessage>, string]>([
    ['a later version', { version: 2 }, 'upgrade this member'],
    ['no version', { version: 0 }, 'version 0'],
    ['nobody who votes', { voters: [] }, 'without voters'],
    ['voters out of order', { voters: ['b', 'a'] }, 'not sorted'],
    ['a voter twice', { voters: ['a', 'a'] }, 'not distinct'],
    ['outgoing voters out of order', { votersOutgoing: ['b', 'a'] }, 'outgoing voters are not sorted'],
    ['learners twice', { learners: ['d', 'd'] }, 'learners are not sorted'],
    ['a voter that learns', { learners: ['b'] }, 'b is voter and learner'],
    ['a name that is none', { voters: ['A B'] }, 'no member id'],
  ])('are refused with %s', (_, change, error) => {
    expect(() => decodeConfiguration(toBinary(ConfigurationSchema, { ...plain, ...change }))).toThrow(error);
  });

  it('R9: are refused with a field of a later release, instead of being understood in part', () => {
    // Field 9, a text: `observers` of some later release.
    const bytes = Uint8Array.of(...toBinary(ConfigurationSchema, plain), 0x4a, 0x01, 0x65);
    expect(() => decodeConfiguration(bytes)).toThrow('field 9 that this release does not know: upgrade this member');
  });

  it('throw an error that says so on any other bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          decodeConfiguration(bytes);
        } catch (error) {
          expect((error as Error).message).toContain('configuration');
        }
      }),
    );
    expect(() => decodeConfiguration(new Uint8Array())).toThrow('version 0');
  });

  it('of our own that are not well-formed are a bug', () => {
    const twice = { voters: ['a', 'a'].map(memberId), votersOutgoing: [], learners: [] };
    expect(() => encodeConfiguration(twice)).toThrow('well-formed');
  });
});
