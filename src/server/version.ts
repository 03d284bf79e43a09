/** The package's version, read once from the package.json beside `dist/` or `src/`. */
import { readFileSync } from 'node:fs';

function read(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const parsed: unknown = JSON.parse(text);
  const found = typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : undefined;
  return typeof found === 'string' ? found : 'unknown';
}

export const VERSION: string = read();
