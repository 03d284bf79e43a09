/** Breaks the product on purpose as it is bundled: a text replacement on a file of src/, or several. */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from './lib.mjs';

/**
 * `also`: what has to change with it, so that the named oracle is what notices (usually the product's own checks).
 * @typedef {{ file: string, find: string, replace: string }} Edit
 * @typedef {Edit & { id: string, oracle: string, also?: Edit[] }} Mutant
 */

/** @param {string} id @param {string} file @returns {Mutant} */
export function findMutant(id, file) {
  /** @type {Mutant[]} */
  const catalogue = JSON.parse(readFileSync(file, 'utf8'));
  const found = catalogue.find((candidate) => candidate.id === id);
  if (found === undefined) throw new Error(`no mutant ${id} in ${file}`);
  return found;
}

/**
 * A replacement that does not match exactly once is an error, and so is one on a file that is not loaded.
 * @param {Mutant | null} mutant
 * @param {(path: string, contents: string) => string} [alter] changes every file of src/ as well
 * @returns {import('esbuild').Plugin}
 */
export function mutate(mutant, alter) {
  const edits = mutant === null ? [] : [mutant, ...(mutant.also ?? [])];
  return {
    name: 'mutate',
    setup(bundle) {
      /** @type {Set<Edit>} */
      const done = new Set();
      bundle.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const mine = edits.filter((edit) => join(root, edit.file) === path);
        if (mine.length === 0 && alter === undefined) return null;
        let contents = await readFile(path, 'utf8');
        for (const edit of mine) {
          done.add(edit);
          const parts = contents.split(edit.find);
          if (parts.length !== 2) {
            const text = `mutant ${mutant?.id} matches ${parts.length - 1} times in ${edit.file}, not once: ${edit.find}`;
            return { errors: [{ text }] };
          }
          contents = parts.join(edit.replace);
        }
        return { contents: alter?.(path, contents) ?? contents, loader: 'ts' };
      });
      bundle.onEnd(() => {
        const missed = edits.find((edit) => !done.has(edit));
        return missed === undefined ? {} : { errors: [{ text: `mutant ${mutant?.id}: ${missed.file} is not loaded` }] };
      });
    },
  };
}
