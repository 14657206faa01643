import { Session } from 'node:inspector';
import { pathToFileURL } from 'node:url';

interface Property {
  readonly name: string;
  readonly value?: { readonly value?: { readonly scriptId: string; readonly lineNumber: number } };
}

/**
 * The line (from 1) at which a generator stands still, told by V8; undefined where it does not say,
 * or the generator is of another file.
 */
export function lineOf(generator: object, file: string): number | undefined {
  const session = new Session();
  const key = '__hotraceGenerator';
  const globals = globalThis as Record<string, unknown>;
  let line: number | undefined;
  try {
    session.connect();
    const scripts = new Map<string, string>();
    session.on('Debugger.scriptParsed', ({ params: { scriptId, url } }) => {
      scripts.set(scriptId, url);
    });
    session.post('Debugger.enable');
    globals[key] = generator;
    // The session answers before post returns.
    session.post('Runtime.evaluate', { expression: `globalThis.${key}` }, (failed, answer) => {
      const objectId = failed === null ? answer.result.objectId : undefined;
      if (objectId === undefined) return;
      session.post('Runtime.getProperties', { objectId, ownProperties: true }, (error, found) => {
        if (error !== null) return;
        const internal = (found as { internalProperties?: readonly Property[] }).internalProperties;
        const at = internal?.find(({ name }) => name === '[[GeneratorLocation]]')?.value?.value;
        if (at === undefined || !isOf(scripts.get(at.scriptId), file)) return;
        line = at.lineNumber + 1;
      });
    });
  } catch {
    // Without an inspector nobody knows.
  } finally {
    delete globals[key];
    session.disconnect();
  }
  return line;
}

/** @param url of a script: a path, or a file: URL */
function isOf(url: string | undefined, file: string): boolean {
  return url === file || url === pathToFileURL(file).href;
}
