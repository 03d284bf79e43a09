import { describe, expect, test } from 'vitest';
import { documentCheck } from '../../src/effector/document-check.ts';
import { sha256Hex } from '../../src/machine/document/snapshot.ts';
import { runKey } from '../../src/machine/keys.ts';
import { ref, token } from '../machine/kit.ts';
import { Ward } from '../machine/recovery-kit.ts';

/** A run that has written `contents` as d00, d01 …, each with the schema "S", and the last of them deleted. */
function written(contents: readonly string[]): Ward {
  const ward = new Ward();
  ward.begin('A');
  const inside = { ref: ref('A'), token: token(ward.run().token), vectorClock: [] };
  for (const [i, content] of contents.entries()) {
    ward.done('documentPut', {
      kind: 'putDocument',
      loop: 'loop',
      name: `d${String(i).padStart(2, '0')}`,
      expectedVersion: 0,
      content,
      sha256: sha256Hex(content),
      schema: 'S',
      causalFields: null,
      causalChanged: [],
      ...inside,
    });
  }
  const last = `d${String(contents.length - 1).padStart(2, '0')}`;
  ward.done('documentDeleted', { kind: 'deleteDocument', loop: 'loop', name: last, expectedVersion: 1, ...inside });
  return ward;
}

async function check(ward: Ward, validate: (schema: string, content: string) => string | null) {
  let turns = 0;
  const asked: string[] = [];
  const checkDocuments = documentCheck(
    (schema, content) => {
      asked.push(`${schema} ${content}`);
      return validate(schema, content);
    },
    async () => void turns++,
  );
  const found = await checkDocuments(ward.machine.rows, runKey('loop', 1, 0));
  return { found, asked, turns };
}

describe('V2: documents and their schemas', () => {
  test('every touched document is compared with its schema, those that are deleted aside, one in a turn', async () => {
    const ward = written(Array.from({ length: 40 }, (_, i) => String(i)));
    const { found, asked, turns } = await check(ward, () => null);
    expect(found).toEqual({ ok: true, detail: '40 documents are as their schemas want them' });
    expect(asked).toEqual(Array.from({ length: 39 }, (_, i) => `S ${i}`));
    expect(turns).toBe(40);
  });

  test('the first that is not is named, with what is wrong', async () => {
    const { found, asked } = await check(written(['1', '2', '3', '4']), (_schema, content) =>
      content === '2' ? 'must be odd' : null,
    );
    expect(found).toEqual({ ok: false, detail: 'document d01: must be odd' });
    expect(asked).toEqual(['S 1', 'S 2']);
  });

  test('a run that wrote nothing', async () => {
    const ward = new Ward();
    ward.begin('A');
    expect((await check(ward, () => 'never asked')).found.ok).toBe(true);
  });
});
