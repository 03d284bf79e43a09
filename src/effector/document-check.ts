/** The part of RECONCILE's last look at the documents (V2) that needs a schema validator, and so cannot be in the state machine. */
import { touchedDocuments } from '../machine/document/snapshot.ts';
import { errorText } from './hook.ts';
import type { CheckDocuments } from './recovery-driver.ts';

/** What is wrong with `content` by the JSON Schema `schema`, as a sentence; null when nothing is. Must not throw. */
export type ValidateDocument = (schema: string, content: string) => string | null;

/** Every document that the run has written is compared with its schema, those that were deleted aside. */
export function documentCheck(validate: ValidateDocument, nextTurn: () => Promise<void>): CheckDocuments {
  return async (rows, runKey) => {
    let after = '';
    for (let checked = 0; ; checked++) {
      const [document] = touchedDocuments(rows, runKey, after, 1);
      if (document === undefined) return { ok: true, detail: `${checked} documents are as their schemas want them` };
      const { name, current } = document;
      const problem = current.deleted || current.schema === '' ? null : validate(current.schema, current.content);
      if (problem !== null) return { ok: false, detail: errorText(`document ${name}: ${problem}`) };
      after = name;
      // One may take all the time that a validator has: the leader is heard of between two of them.
      await nextTurn();
    }
  };
}
