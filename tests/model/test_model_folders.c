/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a model's folder is followed, or refused by its name: keys, files, kinds of files. */
#include "tests/support/modules.h"

/* Members of an object in a file of the folder, and what is said of them; NULL: it opens. */
struct key {
    const char *text, *expected;
};
static void expect_keys(const char *file, const struct key *keys, size_t count) {
    char path[128];
    snprintf(path, sizeof path, "tiny/%s", file);
    for (size_t i = 0; i < count; i++) {
        put_text(path, keys[i].text);
        if (keys[i].expected)
            expect_refusal(path, keys[i].expected);
        else
            cr_expect_str_eq(refusal(), "opened", "%s: %s", keys[i].text, refusal());
    }
}
#define EXPECT_KEYS(file, keys) expect_keys(file, keys, sizeof(keys) / sizeof *(keys))

Test(model_folders, keys_of_a_model_are_followed_or_refused, .init = enter_model,
     .fini = leave_model) {
    static const struct key members[] = {
        {"\"is_decoder\":true", "is_decoder: found true, expected false"},
        {"\"is_decoder\":false,\"add_cross_attention\":null,\"pruned_heads\":{}", NULL},
        {"\"is_causal\":true", "is_causal: found true"},
        {"\"add_cross_attention\":true", "add_cross_attention: found true"},
        {"\"pruned_heads\":{\"0\":[1]}", "pruned_heads: found it with a value"},
        {"\"quantization_config\":{\"bits\":8}", "quantization_config: found it with a value"},
        {"\"auto_map\":{\"AutoModel\":\"x.py\"}", "auto_map: found it with a value"},
        {"\"position_embedding_type\":\"relative_key\"", "position_embedding_type: found relative"},
        {"\"hidden_size\":48", "hidden_size: found twice"},
        {"\"torch_dtype\":\"float16\",\"pad_token_id\":0,\"classifier_dropout\":0.1", NULL},
    };
    char text[1024];
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        snprintf(text, sizeof text, "%.*s,%s}", (int)strlen(model_text) - 1, model_text,
                 members[i].text);
        const struct key key = {text, members[i].expected};
        expect_keys("config.json", &key, 1);
    }
    const char *epsilon = strstr(model_text, "1e-12");
    snprintf(text, sizeof text, "%.*s\"1e-5\"}", (int)(epsilon - model_text), model_text);
    const struct key keys[] = {{text, "layer_norm_eps: expected a number"},
                               {strchr(model_text, ','), "is not an object"}};
    EXPECT_KEYS("config.json", keys);
    snprintf(text, sizeof text, "{%s", strchr(model_text, ',') + 1);
    const struct key typeless = {text, "model_type: expected \"bert\""};
    expect_keys("config.json", &typeless, 1);
    put_text("tiny/config.json", model_text);
    put_safetensors("tiny/model.safetensors",
                    "{\"bert.embeddings.word_embeddings.weight\":{\"dtype\":\"U8\",\"shape\":[0],"
                    "\"data_offsets\":[0,0]},\"embeddings.word_embeddings.weight\":{\"dtype\":"
                    "\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
                    "", 0);
    expect_refusal("tiny/model.safetensors: ", "with and without \"bert.\" in front");
    put_weights(&(struct model_form){0});
    put_text("tiny/adapter_config.json", "{}");
    expect_refusal("tiny/adapter_config.json: ", "adapters are not supported");
    unlink("tiny/adapter_config.json");
    cr_assert_eq(rename("tiny/model.safetensors", "tiny/pytorch_model.bin"), 0);
    expect_refusal("tiny/pytorch_model.bin: ", "save the model with safetensors");
}

Test(model_folders, keys_of_a_tokenizer_are_followed_or_refused, .init = enter_model,
     .fini = leave_model) {
    static const struct key settings[] = {
        {"{\"tokenizer_class\":\"BertTokenizerFast\",\"cls_token\":\"[CLS]\",\"strip_accents\":"
         "null,"
         "\"mask_token\":{\"content\":\"[MASK]\",\"lstrip\":false},\"never_split\":null,"
         "\"additional_special_tokens\":[],\"added_tokens_decoder\":{\"0\":{\"content\":\"[PAD]\","
         "\"normalized\":false}},\"model_max_length\":1000000000000000019884624838656}",
         NULL},
        {"{\"tokenizer_class\":\"MPNetTokenizer\"}", "tokenizer_class: expected BertTokenizer"},
        {"{\"cls_token\":\"<s>\"}", "cls_token: found <s>, expected \"[CLS]\""},
        {"{\"sep_token\":null}", "sep_token: found no text"},
        {"{\"pad_token\":{\"content\":\"<pad>\"}}", "pad_token: found <pad>"},
        {"{\"truncation_side\":\"left\"}", "truncation_side: found left, expected \"right\""},
        {"{\"do_basic_tokenize\":false}", "do_basic_tokenize: found false"},
        {"{\"split_special_tokens\":true}", "split_special_tokens: found true"},
        {"{\"wordpieces_prefix\":\"@\"}", "wordpieces_prefix: found @"},
        {"{\"never_split\":[\"cat\"]}", "never_split: found it with a value"},
        {"{\"additional_special_tokens\":[\"[E1]\"]}", "found the token [E1]"},
        {"{\"extra_special_tokens\":{\"x\":\"[E2]\"}}", "found the token [E2]"},
        {"{\"added_tokens_decoder\":{\"9\":{\"content\":\"[E3]\"}}}", "found the token [E3]"},
        {"{\"added_tokens_decoder\":{\"0\":{\"content\":\"[PAD]\",\"normalized\":true}}}",
         "the token with rules of its own"},
        {"{\"model_max_length\":1}", "model_max_length: expected a whole number of 2"},
        {"{\"model_max_length\":\"9\"}", "model_max_length: expected a whole number"},
        {"{\"auto_map\":{\"AutoTokenizer\":[\"x\"]}}", "auto_map"},
        {"{}", NULL},
    };
    static const struct key roles[] = {{"{\"unk_token\":\"<unk>\"}", "unk_token: found <unk>"},
                                       {"{\"unk_token\":\"[UNK]\"}", NULL}};
    static const struct key added[] = {{"{\"[NEW]\":26}", "[NEW]: expected BERT's marks alone"},
                                       {"{\"[PAD]\":0}", NULL}};
    static const struct key options[] = {
        {"{\"max_seq_length\":1}", "max_seq_length: expected a whole number of 2"},
        {"{\"max_seq_length\":null,\"do_lower_case\":false,\"unpad_inputs\":null}", NULL},
        {"{\"transformer_task\":\"fill-mask\"}", "transformer_task: found fill-mask"},
        {"{\"modality_config\":{\"text\":{\"method\":\"forward\",\"method_output_name\":"
         "\"last_hidden_state\"}},\"module_output_name\":\"token_embeddings\"}",
         NULL},
        {"{\"modality_config\":{\"text\":{\"method\":\"forward\",\"method_output_name\":"
         "\"pooler_output\"}}}",
         "modality_config: expected the last_hidden_state"},
        {"{\"module_output_name\":\"sentence_embedding\"}", "module_output_name: found sentence"},
        {"{\"processing_kwargs\":{\"text\":{\"truncation\":false}}}", "processing_kwargs: found"},
        {"{\"tokenizer_args\":{\"do_lower_case\":false}}", "tokenizer_args: found it with a value"},
        {"{\"model_args\":{},\"query_length\":null}", NULL},
        {"{\"something\":1}", "something: is not known"},
    };
    EXPECT_KEYS("tokenizer_config.json", settings);
    EXPECT_KEYS("special_tokens_map.json", roles);
    EXPECT_KEYS("added_tokens.json", added);
    EXPECT_KEYS("sentence_bert_config.json", options);
    unlink("tiny/sentence_bert_config.json");
    put_text("tiny/sentence_roberta_config.json", "{\"max_seq_length\":1}");
    expect_refusal("tiny/sentence_roberta_config.json", "max_seq_length");
}

Test(model_folders, modules_are_followed_or_refused, .init = enter_model, .fini = leave_model) {
    static const struct key pooling[] = {
        {"{\"pooling_mode\":\"median\"}", "pooling_mode: found median, expected cls, max, mean"},
        {"{\"pooling_mode\":[]}", "pooling_mode: expected one or more"},
        {"{\"pooling_mode\":[\"cls\",1]}", "pooling_mode: found no text"},
        {"{\"embedding_dimension\":25}", "found embeddings of 25, expected the model's 24"},
        {"{\"pooling_mode_new\":true}", "pooling_mode_new: is not known"},
        {"{\"pooling_mode_cls_token\":1}", "pooling_mode_cls_token: expected true or false"},
        {"{\"include_prompt\":\"no\"}", "include_prompt: expected true or false"},
        {"{}", NULL},
    };
    static const struct key dense[] = {
        {"{\"in_features\":24,\"out_features\":9,\"activation_function\":\"torch.nn.Softmax\"}",
         "activation_function: found torch.nn.Softmax, expected Identity, Tanh, ReLU"},
        {"{\"in_features\":24,\"out_features\":9,\"activation_function\":\"my.Tanh\"}",
         "activation_function: found my.Tanh"},
        {"{\"in_features\":24,\"out_features\":9,\"activation_function\":null}",
         "activation_function: found no text"},
        {"{\"in_features\":24,\"out_features\":9,\"use_residual\":true}",
         "use_residual: found true"},
        {"{\"in_features\":24,\"out_features\":9,\"module_input_name\":\"token_embeddings\"}",
         "module_input_name: found token_embeddings"},
        {"{\"in_features\":24,\"out_features\":9,\"scale\":2}", "scale: is not known"},
        {"{\"out_features\":9}", "in_features: expected a whole number"},
        {"{\"in_features\":24,\"out_features\":9}", NULL},
    };
    static const struct {
        const char *list, *expected;
    } lists[] = {
        {"Transformer: Pooling:1_Pooling LSTM:2", "module 2: found type sentence_transformers."},
        {"Transformer: Pooling:1_Pooling Pooling:1_Pooling", "after them Dense or Normalize"},
        {"Transformer: Dense:2_Dense", "module 1: found sentence_transformers.models.Dense"},
        {"Pooling:1_Pooling Transformer:", "module 0: found sentence_transformers.models.Pooling"},
        {"Transformer:", "found 1 modules, expected 2"},
        {"Transformer: Pooling:../1_Pooling", "a path within the folder"},
        {"Transformer: Pooling:/tmp", "a path within the folder"},
        {"Transformer: Pooling:x/..", "a path within the folder"},
        {"Transformer: Pooling:nowhere", "tiny/nowhere/config.json: No such file"},
        {"Transformer: Pooling:1_Pooling Dense:4_Dense", "tiny/4_Dense/config.json: No such file"},
        {"Transformer: Pooling:1_Pooling Dense:2_Dense Dense:2_Dense",
         "tiny/2_Dense/model.safetensors: takes 24 numbers, expected the 9"},
    };
    static const struct key prompts[] = {
        {"{\"model_type\":\"SparseEncoder\"}", "model_type: found SparseEncoder"},
        {"{\"default_prompt_name\":\"query\"}", "default_prompt_name: expected one of the prompts"},
        {"{\"prompts\":{\"query\":1}}", "prompts: expected texts"},
        {"{\"prompts\":[]}", "prompts: expected an object"},
        {"{\"truncate_dim\":8}", "truncate_dim: is not known"},
        {"{\"__version__\":{},\"similarity_fn_name\":\"dot\",\"prompts\":null}", NULL},
    };
    put_dense("2_Dense", DIM, 9, true, "torch.nn.Tanh", RAPT_F32);
    put_config("1_Pooling", "{}");
    expect_refusal("tiny/modules.json: ", "not there, but 2_Dense is");
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        put_modules(old_package, lists[i].list);
        expect_refusal("tiny/", lists[i].expected);
    }
    put_modules("my.", "Transformer: Pooling:1_Pooling");
    expect_refusal("tiny/modules.json: ", "module 0: found type my.Transformer");
    put_modules("sentence_transformers.sparse_encoder.models.", "Transformer: Pooling:1_Pooling");
    expect_refusal("tiny/modules.json: ", "module 0: found type sentence_transformers.sparse");
    put_text("tiny/modules.json", "{}");
    expect_refusal("tiny/modules.json: ", "is not a list in JSON");
    put_text(
        "tiny/modules.json",
        "[{\"name\":\"0\",\"path\":\"\",\"type\":\"sentence_transformers.models.Transformer\"},"
        "{\"name\":\"0\",\"path\":\"\",\"type\":\"sentence_transformers.models.Pooling\"}]");
    expect_refusal("tiny/modules.json: ", "module 1: found the name 0 twice");
    put_modules(old_package, "Transformer: Pooling:1_Pooling Dense:2_Dense Normalize:3");
    EXPECT_KEYS("1_Pooling/config.json", pooling);
    EXPECT_KEYS("2_Dense/config.json", dense);
    put_config("2_Dense", "{\"in_features\":24,\"out_features\":8}");
    expect_refusal("tiny/2_Dense/model.safetensors: ", "linear.weight: found shape [9, 24]");
    put_config("2_Dense", "{\"in_features\":24,\"out_features\":9,\"bias\":false}");
    expect_refusal("tiny/2_Dense/model.safetensors: ", "linear.bias: is not known");
    put_config("2_Dense", "{\"in_features\":24,\"out_features\":9}");
    put_config("3", "{\"module_input_name\":\"token_embeddings\"}");
    expect_refusal("tiny/3/config.json: ", "module_input_name: found token_embeddings");
    put_config("3", "{\"module_input_name\":\"sentence_embedding\"}");
    EXPECT_KEYS("config_sentence_transformers.json", prompts);
    cr_assert_eq(rename("tiny/2_Dense/model.safetensors", "tiny/2_Dense/pytorch_model.bin"), 0);
    expect_refusal("tiny/2_Dense/pytorch_model.bin: ", "save the model with safetensors");
}

/* tokenizer.json of the small vocabulary, in which `from` is `to`. */
static void put_tokenizer(const char *from, const char *to) {
    char text[8192] =
        "{\"truncation\":{\"max_length\":4,\"direction\":\"Right\"},\"added_tokens\":[{\"id\":0,"
        "\"content\":\"[PAD]\",\"single_word\":false,\"normalized\":false}],\"normalizer\":{"
        "\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,"
        "\"strip_accents\":null,\"lowercase\":true},\"pre_tokenizer\":{\"type\":"
        "\"BertPreTokenizer\"},\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{"
        "\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_"
        "id\":"
        "0}},{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}}]},\"model\":{\"type\":"
        "\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\","
        "\"max_input_chars_per_word\":100,\"vocab\":{",
         changed[8192], words[512], *rest = NULL;
    int id = 0;
    snprintf(words, sizeof words, "%s", vocabulary_text);
    for (char *word = strtok_r(words, "\n", &rest); word; word = strtok_r(NULL, "\n", &rest)) {
        const size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s\"%s\":%d", id ? "," : "", word, id);
        id++;
    }
    strcat(text, "}}}");
    const char *at = strstr(text, from);
    cr_assert(at, "%s", from);
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    put_text("tiny/tokenizer.json", changed);
}

Test(model_folders, a_vocabulary_may_be_in_json, .init = enter_model, .fini = leave_model) {
    static const struct {
        const char *from, *to, *expected;
    } cases[] = {
        {"BertNormalizer", "NFC", "type: found NFC, expected \"BertNormalizer\""},
        {"\"clean_text\":true", "\"clean_text\":false", "clean_text: found false"},
        {"\"lowercase\":true", "\"lowercase\":false", "lowercase: found false, but do_lower_case"},
        {"accents\":null", "accents\":false", "strip_accents: found false, but strip_accents"},
        {"chinese_chars\":true", "chinese_chars\":false", "handle_chinese_chars: found false"},
        {"BertPreTokenizer", "Metaspace", "type: found Metaspace"},
        {"WordPiece", "BPE", "type: found BPE"},
        {"\"##\"", "\"@\"", "continuing_subword_prefix: found @"},
        {"word\":100", "word\":200", "max_input_chars_per_word: expected 100"},
        {"\"[UNK]\",\"cont", "\"<unk>\",\"cont", "unk_token: found <unk>"},
        {"\"[PAD]\",\"single", "\"[E1]\",\"single", "found the token [E1]"},
        {"\"single_word\":false", "\"single_word\":true", "the token with rules of its own"},
        {"\"Right\"", "\"Left\"", "truncation: expected the direction Right"},
        {"\"id\":\"[SEP]\"", "\"id\":\"[UNK]\"", "post_processor: expected [CLS], the text and"},
        {"TemplateProcessing", "ByteLevel", "post_processor: expected [CLS], the text and"},
        {"\"cat\":6", "\"cat\":7", "vocab: expected tokens with the numbers 0 to"},
        {"\"cat\":6", "\"cat\":99", "vocab: expected tokens with the numbers 0 to"},
        {"\"cat\":6", "\"c\\nat\":6", "vocab: expected tokens with the numbers 0 to"},
        {"\"normalizer\":{", "\"normalizer\":null,\"x\":{", "normalizer: expected an object"},
    };
    static struct encoder e;
    char message[FAULT_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_tokenizer(cases[i].from, cases[i].to);
        expect_refusal("tiny/tokenizer.json: ", cases[i].expected);
    }
    unlink("tiny/vocab.txt");
    put_tokenizer("TemplateProcessing", "TemplateProcessing");
    cr_assert(encoder_open("tiny", 1, NULL, &e, message), "%s", message);
    for (int64_t i = 0; i < e.vocabulary.count; i++)
        cr_expect(strstr(vocabulary_text, e.vocabulary.tokens[i]));
    cr_expect_eq(e.vocabulary.count, VOCABULARY);
    cr_expect_eq(e.most_tokens, POSITIONS); /* what it was last cut at means nothing */
    encoder_close(&e);
    /* The classes that aren't BERT's take it all from there. */
    put_tokenizer("\"lowercase\":true", "\"lowercase\":false");
    put_text("tiny/tokenizer_config.json", "{\"tokenizer_class\":\"TokenizersBackend\"}");
    cr_assert(encoder_open("tiny", 1, NULL, &e, message), "%s", message);
    cr_expect(!e.vocabulary.lowercase && !e.vocabulary.strip_accents);
    encoder_close(&e);
    put_text("tiny/tokenizer_config.json", "{\"do_lower_case\":false}");
    put_text("tiny/sentence_bert_config.json", "{\"do_lower_case\":true}");
    cr_assert(encoder_open("tiny", 1, NULL, &e, message), "%s", message);
    cr_expect(e.vocabulary.lowercase && !e.vocabulary.strip_accents);
    encoder_close(&e);
}

/* Whatever stands in a file's place is refused, and not waited for. */
Test(model_folders, only_files_are_read, .init = enter_model, .fini = leave_model, .timeout = 60) {
    static const char *const names[] = {"config.json", "vocab.txt", "model.safetensors"};
    char path[64], aside[64];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "tiny/%s", names[i]);
        snprintf(aside, sizeof aside, "tiny/%s.aside", names[i]);
        cr_assert_eq(rename(path, aside), 0);
        cr_assert_eq(mkfifo(path, 0600), 0);
        expect_refusal(path, ": found a pipe, expected a file");
        unlink(path);
        cr_assert_eq(mkdir(path, 0700), 0);
        expect_refusal(path, ": found a folder, expected a file");
        rmdir(path);
        cr_assert_eq(symlink("/dev/zero", path), 0);
        expect_refusal(path, ": found a device, expected a file");
        unlink(path);
        cr_assert_eq(rename(aside, path), 0);
    }
    cr_expect_str_eq(refusal(), "opened");
}

/* A file may shrink, while it is open or while it is read. */
Test(model_folders, files_may_be_cut, .init = enter_model, .fini = leave_model) {
    static const char *const text = "the cat sat";
    static struct encoder e;
    const struct encoder_texts texts = {&text, 1, 1, NULL, false};
    float before[DIM], after[DIM];
    char message[FAULT_SIZE], bytes[64];
    size_t size;
    cr_assert(encoder_open("tiny", 1, NULL, &e, message), "%s", message);
    cr_assert(encoder_embed(&e, &texts, before, message));
    cr_assert_eq(truncate("tiny/model.safetensors", 100), 0);
    cr_assert(encoder_embed(&e, &texts, after, message));
    cr_expect_arr_eq(after, before, sizeof before);
    encoder_close(&e);
    expect_refusal("tiny/model.safetensors: found 100 bytes", "expected a .safetensors file");
    int fd = open_file("tiny/model.safetensors", &size, message);
    cr_assert(fd >= 0 && size == 100);
    cr_expect(read_at(fd, "m", 40, 60, bytes, message));
    cr_expect_not(read_at(fd, "m", 40, 64, bytes, message));
    cr_expect_str_eq(message, "m: found its end at byte 100, expected 104 bytes or more: it was "
                              "cut while it was read");
    close(fd);
    fd = open("/proc/self/mem", O_RDONLY); /* whose first page is no memory */
    cr_assert(fd >= 0);
    cr_expect_not(read_at(fd, "m", 0, 8, bytes, message));
    cr_expect_str_eq(message, "m: Input/output error");
    close(fd);
}
