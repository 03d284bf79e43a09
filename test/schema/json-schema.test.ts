import { describe, expect, it } from 'vitest';
import { DEFAULT_MEMBER_SETTINGS } from '../../src/node/options.ts';
import { COMPILE_MS_MAX, JsonSchemas, VALIDATE_MS_MAX } from '../../src/schema/json-schema.ts';

const text = (value: unknown): string => JSON.stringify(value);

describe('JSON Schema of documents (P6)', () => {
  const schemas = new JsonSchemas();
  const replicas = text({ type: 'object', required: ['replicas'], properties: { replicas: { type: 'integer' } } });

  it('says what is wrong, and where', () => {
    expect(schemas.validate(replicas, '{"replicas":3}')).toBeNull();
    expect(schemas.validate(replicas, '{"replicas":"3"}')).toBe('/replicas must be integer');
    expect(schemas.validate(replicas, '{}')).toBe("the root must have required property 'replicas'");
    expect(schemas.validate(replicas, '{')).toMatch(/^the content is no JSON: /);
    expect(schemas.validate('', 'anything')).toBeNull();
  });

  it('knows draft 2020-12 and draft 7, and what differs between them', () => {
    const tuple = { prefixItems: [{ type: 'string' }] };
    const old = { $schema: 'http://json-schema.org/draft-07/schema#', ...tuple };
    expect(schemas.validate(text(tuple), '[1]')).toBe('/0 must be string');
    // A keyword that draft 7 does not have.
    expect(schemas.validate(text(old), '[1]')).toBeNull();
    const tuple7 = { $schema: 'http://json-schema.org/draft-07/schema#', items: [{ type: 'string' }] };
    expect(schemas.validate(text(tuple7), '[1]')).toBe('/0 must be string');
    expect(schemas.checkSchema(text({ $schema: 'http://json-schema.org/draft-04/schema#' }))).toMatch(/\$schema/);
  });

  it('refuses what is no schema, and fetches nothing', () => {
    expect(schemas.checkSchema('{')).toMatch(/^is no JSON: /);
    expect(schemas.checkSchema('3')).toBe('is neither an object nor true or false');
    expect(schemas.checkSchema(text({ type: 'integre' }))).toMatch(/^is no JSON Schema: \/type /);
    expect(schemas.checkSchema(text({ $ref: 'http://127.0.0.1:1/x.json' }))).toMatch(/^cannot be used: /);
    expect(schemas.checkSchema('true')).toBeNull();
  });

  it('the same $id in two schemas does not disturb', () => {
    const one = text({ $id: 'http://example.org/s', type: 'string' });
    const other = text({ $id: 'http://example.org/s', type: 'number' });
    expect(schemas.validate(one, '"x"')).toBeNull();
    expect(schemas.validate(other, '"x"')).toBe('the root must be number');
  });

  it('ends a pattern that would run for years', () => {
    const impatient = new JsonSchemas({ validateMs: 100 });
    const evil = text({ type: 'string', pattern: '^(a+)+$' });
    const startedMs = performance.now();
    expect(impatient.validate(evil, text(`${'a'.repeat(40)}b`))).toMatch(/^the content could not be checked: /);
    expect(performance.now() - startedMs).toBeLessThan(5_000);
    expect(impatient.validate(evil, '"aaa"')).toBeNull();
  });

  it('a schema that is given up leaves the others as they are', () => {
    const impatient = new JsonSchemas({ compileMs: 1 });
    const properties = Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`p${i}`, { type: 'integer' }]));
    for (const $schema of ['http://json-schema.org/draft-07/schema#', 'https://json-schema.org/draft/2020-12/schema']) {
      expect(impatient.checkSchema(text({ $schema, properties }))).toBe('cannot be used: it takes too long');
      expect(schemas.checkSchema(text({ $schema, type: 'string' }))).toBeNull();
    }
  });

  it('what takes too long does not depose the leader', () => {
    // A follower has heard it at most one heartbeat before.
    const { tickMs, heartbeatTicks, electionTicks } = DEFAULT_MEMBER_SETTINGS;
    const silenceMs = Math.max(COMPILE_MS_MAX, VALIDATE_MS_MAX) + tickMs * heartbeatTicks;
    expect(silenceMs).toBeLessThan(tickMs * electionTicks);
  });

  it('a schema that goes in circles is refused, not fatal', () => {
    const circle = text({ $ref: '#' });
    expect(schemas.validate(circle, '1')).toMatch(/could not be checked|cannot be used/);
  });

  it('keeps a bounded number of compiled schemas', () => {
    const few = new JsonSchemas({ schemasKept: 4 });
    for (let i = 0; i < 20; i++) expect(few.validate(text({ const: i }), String(i))).toBeNull();
    expect(few.size).toBe(4);
    expect(few.validate(text({ const: 0 }), '1')).toBe('the root must be equal to constant');
  });
});
