import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/** Rooms import one way: src -> machines -> events (design: "four rooms, one direction"). */
const closedRoom = (files, patterns) => ({
  files,
  rules: { 'no-restricted-imports': ['error', { patterns }] },
});

export default tseslint.config(
  // The project of test/package knows the package and nothing of this repository.
  { ignores: ['dist', 'node_modules', 'coverage', 'scratch', 'test/package/project'] },
  js.configs.recommended,
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['*.js'] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/switch-exhaustiveness-check': 'off',
      // Columns hold type codes as plain numbers.
      '@typescript-eslint/no-unsafe-enum-comparison': 'off',
      eqeqeq: 'error',
      'no-control-regex': 'off',
    },
  },
  { files: ['*.js'], ...tseslint.configs.disableTypeChecked },
  closedRoom(
    ['events/**/*.ts'],
    [{ group: ['**/machines/**', '**/src/**'], message: 'events/ knows no machine' }],
  ),
  closedRoom(
    ['machines/**/*.ts'],
    [
      {
        group: ['**/src/**', '**/events/formats/**'],
        message: 'a machine knows no scheduler and no trace format',
      },
    ],
  ),
);
