/* nothing.c: a program that does nothing, for what a library costs that it is linked with. */
int main(void)
{
    return 0;
}
