/** Ids of clusters and members on the command line. */
import { InvalidArgumentError } from 'commander';
import { isName } from '../types/ids.ts';

export function parseId(text: string): string {
  if (!isName(text)) throw new InvalidArgumentError("Give 1 to 64 characters of a-z, 0-9 and '-'.");
  return text;
}
